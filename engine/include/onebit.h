/* onebit: runs packed 1-bit convolutional networks (.onebit files) on the CPU.
 *
 * A model is what a file holds: immutable, shared by any number of sessions and threads. A session is a model with its
 * working memory and its threads; one thread at a time may use it. After a session's first run on an image size, further runs
 * on that size allocate nothing. The same file gives the same bits on every kernel and with every number of threads.
 *
 * Every function that can fail returns a status and leaves one sentence in onebit_last_error().
 */
#ifndef ONEBIT_H
#define ONEBIT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ONEBIT_API __declspec(dllexport)
#else
#define ONEBIT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct onebit_model onebit_model;
typedef struct onebit_session onebit_session;

typedef enum {
    ONEBIT_OK = 0,
    ONEBIT_BAD_ARGUMENT = 1, /* a null pointer, a shape, type or number of threads that does not fit */
    ONEBIT_BAD_FILE = 2,     /* not a .onebit file, damaged, cut off, of another version, or one that cannot be read */
    ONEBIT_BAD_KERNEL = 3,   /* a kernel that this build or this processor does not have */
    ONEBIT_BAD_NUMBER = 4,   /* the input holds a NaN */
    ONEBIT_NO_MEMORY = 5
} onebit_status;

typedef enum { ONEBIT_FLOAT32 = 0, ONEBIT_UINT8 = 1 } onebit_type;

/* A batch of images as it lies in memory; strides count elements, so that NCHW, NHWC and slices are read in place.
 * float32: normalised as in training. uint8: pixels; the file's own normalisation is applied. */
typedef struct {
    const void *data;
    onebit_type type;
    int64_t batch, channels, height, width;
    int64_t stride_batch, stride_channel, stride_row, stride_column;
} onebit_images;

/* What one step of a session costs; a step is one operation with everything fused into it. */
typedef struct {
    const char *name;      /* "binary_conv stages.0.0.conv"; valid as long as the session */
    int64_t macs;          /* multiply-accumulates of one image, zero-padded taps counted */
    int32_t weight_bits;   /* 1: binary; 8, 16: integers; 32: float; 0: no weights */
    int64_t runs;          /* images that it was timed on */
    double seconds;        /* in all of these runs: processor time of the calling thread */
} onebit_step;

/* "0.1.0" */
ONEBIT_API const char *onebit_version(void);
/* The last failure of the calling thread, one sentence; "" before the first. */
ONEBIT_API const char *onebit_last_error(void);
/* Names of the kernels that this processor can run, best first, separated by spaces: "avx512 avx2 portable reference". */
ONEBIT_API const char *onebit_kernels(void);

/* Open a file (memory-mapped) or a copy of bytes. kernel: a name, or NULL for $ONEBIT_KERNEL, else the best one.
 * Replace a file that is open by renaming another one over it; never write into it. */
ONEBIT_API onebit_status onebit_model_open(const char *path, const char *kernel, onebit_model **model);
ONEBIT_API onebit_status onebit_model_read(const void *bytes, size_t size, const char *kernel, onebit_model **model);
/* Sessions keep their model alive: free both in any order. NULL is allowed. */
ONEBIT_API void onebit_model_free(onebit_model *model);
/* The file's metadata: UTF-8 JSON, not terminated; valid as long as the model. */
ONEBIT_API const char *onebit_model_metadata(const onebit_model *model, size_t *size);
ONEBIT_API const char *onebit_model_kernel(const onebit_model *model);
/* Channels of the images that it takes, and whether it takes pixels (uint8) only, because its stem computes in integers. */
ONEBIT_API int64_t onebit_model_channels(const onebit_model *model);
ONEBIT_API int onebit_model_pixels_only(const onebit_model *model);

/* threads: 1 or more. */
ONEBIT_API onebit_status onebit_session_create(const onebit_model *model, int threads, onebit_session **session);
ONEBIT_API void onebit_session_free(onebit_session *session);
/* Shape of the result for one image of that size: channels, height, width (1, 1 for a classifier). */
ONEBIT_API onebit_status onebit_session_shape(onebit_session *session, int64_t height, int64_t width, int64_t shape[3]);
/* output: batch x channels x height x width floats, contiguous; count: how many floats it has room for. */
ONEBIT_API onebit_status onebit_session_run(onebit_session *session, const onebit_images *images, float *output, size_t count);
/* Time every step from now on (on != 0), from zero. */
ONEBIT_API onebit_status onebit_session_profile(onebit_session *session, int on);
/* Steps of the size that ran last; -1 before the first run. */
ONEBIT_API int onebit_session_steps(const onebit_session *session);
ONEBIT_API onebit_status onebit_session_step(const onebit_session *session, int index, onebit_step *step);
/* Bytes of working memory that the session holds. */
ONEBIT_API size_t onebit_session_memory(const onebit_session *session);

#ifdef __cplusplus
}
#endif
#endif
