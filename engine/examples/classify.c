/* classify FILE.onebit IMAGE.ppm [THREADS]: the five best classes of an image (binary PPM, P6) of the size that the network was trained on. */
#include <stdio.h>
#include <stdlib.h>

#include "onebit.h"

static int fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

int main(int count, char **arguments) {
    if (count < 3) return fail("usage: classify FILE.onebit IMAGE.ppm [THREADS]");
    FILE *file = fopen(arguments[2], "rb");
    int width, height;
    if (!file || fscanf(file, "P6 %d %d 255", &width, &height) != 2 || fgetc(file) == EOF) return fail("cannot read the image: not a binary PPM");
    if (width < 1 || height < 1 || width > 65535 || height > 65535) return fail("cannot read the image: its size makes no sense");
    const size_t size = (size_t)3 * width * height;
    unsigned char *pixels = malloc(size);
    if (!pixels || fread(pixels, 1, size, file) != size) return fail("cannot read the image: it is cut off");
    fclose(file);

    onebit_model *model;
    onebit_session *session;
    int64_t shape[3];
    if (onebit_model_open(arguments[1], NULL, &model) || onebit_session_create(model, count > 3 ? atoi(arguments[3]) : 1, &session) ||
        onebit_session_shape(session, height, width, shape))
        return fail(onebit_last_error());
    const size_t classes = (size_t)(shape[0] * shape[1] * shape[2]);
    float *scores = malloc(classes * sizeof *scores);
    const onebit_images images = {pixels, ONEBIT_UINT8, 1, 3, height, width, (int64_t)size, 1, (int64_t)3 * width, 3};
    if (!scores || onebit_session_run(session, &images, scores, classes)) return fail(onebit_last_error());

    for (int rank = 0; rank < 5 && rank < (int)classes; ++rank) {
        size_t best = 0;
        for (size_t i = 1; i < classes; ++i) best = scores[i] > scores[best] ? i : best;
        printf("class %zu: %.4f\n", best, scores[best]);
        scores[best] = -1e30f;
    }
    free(scores);
    free(pixels);
    onebit_session_free(session);
    onebit_model_free(model);
    return 0;
}
