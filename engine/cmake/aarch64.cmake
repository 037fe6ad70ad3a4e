# 64-bit ARM from another machine; tests run under qemu's user-mode emulator.
#   cmake -S engine -B build-aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
find_program(ONEBIT_EMULATOR NAMES qemu-aarch64-static qemu-aarch64)
if(ONEBIT_EMULATOR)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${ONEBIT_EMULATOR};-L;/usr/aarch64-linux-gnu)
endif()
