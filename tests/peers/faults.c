/* Loaded before the C library (LD_PRELOAD): lets a call that changes files below a folder fail, or
 * be the last one of the process.
 *
 * FAULT_FOLDER  the folder, absolute and without links
 * FAULT_LOG     a file that gets a line for each such call
 * FAULT_AT      the number of a call, from 1
 * FAULT_MODE    kill: the process is killed in its place; torn: in the middle of it;
 *               fail: it fails; full: from it on no file can be made or get longer
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long calls;

static int below(const char *path)
{
    const char *folder = getenv("FAULT_FOLDER");
    size_t size = folder ? strlen(folder) : 0;
    return size && strncmp(path, folder, size) == 0 && (path[size] == '/' || !path[size]);
}

static int of_path(const char *path)
{
    return path && path[0] == '/' && below(path);
}

static int of_descriptor(int descriptor)
{
    char link[64], path[PATH_MAX];
    ssize_t size;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return below(path);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* 0: go on; 1: fail; 2: do half of it, and then no more. */
static int verdict(const char *name, int grows)
{
    const char *mode = getenv("FAULT_MODE"), *at = getenv("FAULT_AT"), *log = getenv("FAULT_LOG");
    long wanted = at ? atol(at) : 0;
    calls++;
    if (log) {
        int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        char line[64];
        int size = snprintf(line, sizeof line, "%s\n", name);
        syscall(SYS_write, file, line, size);
        syscall(SYS_close, file);
    }
    if (!mode || !wanted)
        return 0;
    if (!strcmp(mode, "full") && calls >= wanted && grows) {
        errno = ENOSPC;
        return 1;
    }
    if (calls != wanted)
        return 0;
    if (!strcmp(mode, "kill"))
        die();
    if (!strcmp(mode, "torn"))
        return 2;
    if (!strcmp(mode, "fail")) {
        errno = EIO;
        return 1;
    }
    return 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = dlsym(RTLD_NEXT, name)

static int lengthens(int descriptor, off64_t at, size_t size)
{
    struct stat64 facts;
    return fstat64(descriptor, &facts) || at + (off64_t)size > facts.st_size;
}

#define WRITER(name, parameters, arguments, half, at, ...) \
    ssize_t name parameters \
    { \
        REAL(ssize_t, #name, __VA_ARGS__); \
        if (of_descriptor(descriptor)) { \
            int said = verdict(#name, lengthens(descriptor, at, size)); \
            if (said == 1) \
                return -1; \
            if (said == 2) { \
                real half; \
                die(); \
            } \
        } \
        return real arguments; \
    }

WRITER(write, (int descriptor, const void *data, size_t size), (descriptor, data, size),
       (descriptor, data, size / 2), lseek64(descriptor, 0, SEEK_CUR), int, const void *, size_t)
WRITER(pwrite, (int descriptor, const void *data, size_t size, off_t at),
       (descriptor, data, size, at), (descriptor, data, size / 2, at), at, int, const void *, size_t,
       off_t)
WRITER(pwrite64, (int descriptor, const void *data, size_t size, off64_t at),
       (descriptor, data, size, at), (descriptor, data, size / 2, at), at, int, const void *, size_t,
       off64_t)

#define CALL(name, parameters, arguments, condition, grows, ...) \
    int name parameters \
    { \
        REAL(int, #name, __VA_ARGS__); \
        if ((condition) && verdict(#name, grows) == 1) \
            return -1; \
        return real arguments; \
    }

CALL(fsync, (int descriptor), (descriptor), of_descriptor(descriptor), 0, int)
CALL(fdatasync, (int descriptor), (descriptor), of_descriptor(descriptor), 0, int)
CALL(ftruncate, (int descriptor, off_t size), (descriptor, size), of_descriptor(descriptor), 0, int,
     off_t)
CALL(ftruncate64, (int descriptor, off64_t size), (descriptor, size), of_descriptor(descriptor), 0,
     int, off64_t)
CALL(fchmod, (int descriptor, mode_t mode), (descriptor, mode), of_descriptor(descriptor), 0, int,
     mode_t)
CALL(unlink, (const char *path), (path), of_path(path), 0, const char *)
CALL(unlinkat, (int folder, const char *path, int flags), (folder, path, flags),
     of_path(path) || (path[0] != '/' && of_descriptor(folder)), 0, int, const char *, int)
CALL(rmdir, (const char *path), (path), of_path(path), 0, const char *)
CALL(mkdir, (const char *path, mode_t mode), (path, mode), of_path(path), 1, const char *, mode_t)
CALL(rename, (const char *from, const char *to), (from, to), of_path(to), 1, const char *,
     const char *)
CALL(link, (const char *from, const char *to), (from, to), of_path(to), 1, const char *,
     const char *)
CALL(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags),
     of_path(to), 1, int, const char *, int, const char *, int)

#define OPENER(name, parameters, arguments, ...) \
    int name parameters \
    { \
        REAL(int, #name, __VA_ARGS__); \
        mode_t mode = 0; \
        if (flags & O_CREAT) { \
            va_list list; \
            va_start(list, flags); \
            mode = va_arg(list, mode_t); \
            va_end(list); \
            if (of_path(path) && access(path, F_OK) && verdict(#name, 1) == 1) \
                return -1; \
        } \
        return real arguments; \
    }

OPENER(open, (const char *path, int flags, ...), (path, flags, mode), const char *, int, ...)
OPENER(open64, (const char *path, int flags, ...), (path, flags, mode), const char *, int, ...)
OPENER(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), int,
       const char *, int, ...)
OPENER(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), int,
       const char *, int, ...)
