/* Bends a process's wall clock and its writes to one file prefix, for the chaos run only.
 *
 * Preloaded into a process under test. CHAOS_STATE names a file of three 64-bit numbers:
 * nanoseconds to add to the wall clock, the errno of every write, the errno of every sync (0: none).
 * CHAOS_PREFIX is what a path must begin with for the last two. Monotonic clocks are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *state;
static const char *prefix;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CHAOS_STATE");
    prefix = getenv("CHAOS_PREFIX");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) state = page;
    close(fd);
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int64_t offset(void) { return state ? state[0] : 0; }

static int fails(int fd, int which) {
    char link[64], path[4096];
    if (!state || !state[which] || !prefix) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (strncmp(path, prefix, strlen(prefix))) return 0;
    errno = (int)state[which];
    return 1;
}

int clock_gettime(clockid_t id, struct timespec *out) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int answer = real(id, out);
    if (answer == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t now = out->tv_sec * 1000000000LL + out->tv_nsec + offset();
        out->tv_sec = now / 1000000000LL;
        out->tv_nsec = now % 1000000000LL;
    }
    return answer;
}

int gettimeofday(struct timeval *out, void *zone) {
    (void)zone;
    struct timespec now;
    int answer = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return answer;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails(fd, 1) ? -1 : real(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails(fd, 1) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return pwrite64(fd, data, size, at);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    return fails(fd, 1) ? -1 : real(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fsync(int fd) {
    REAL(int, "fsync", int);
    return fails(fd, 2) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return fails(fd, 2) ? -1 : real(fd);
}
