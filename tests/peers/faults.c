/* Loaded before the C library (LD_PRELOAD): lets a call that touches files below some folders fail,
 * or be the last one of the process; and answers in the place of what this machine doesn't have.
 *
 * FAULT_FOLDERS  the folders, absolute and without links, with a colon between them
 * FAULT_READS    if set, the calls that only look or read count too
 * FAULT_LOG      a file that gets a line for each such call: its name, a tab, the path
 * FAULT_AT       the number of a call, from 1
 * FAULT_MODE     kill: the process is killed in its place; torn: in the middle of it;
 *                fail: it fails; full: from it on no file can be made or get longer
 * FAULT_ERRNO    what a call fails with; EIO if not set
 * FAULT_VFAT     if set, the folders are like vfat's: no modes, no links
 * FAULT_CLOCK    the time it is when the process first asks, in seconds since 1970
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long calls;

static int below(const char *path)
{
    const char *folders = getenv("FAULT_FOLDERS");
    while (folders && *folders) {
        size_t size = strcspn(folders, ":");
        if (strncmp(path, folders, size) == 0 && (path[size] == '/' || !path[size]))
            return 1;
        folders += size + (folders[size] == ':');
    }
    return 0;
}

/* The path of an open file, as the kernel knows it; an empty one where there is none. */
static const char *path_of(int descriptor)
{
    static __thread char path[PATH_MAX];
    char link[64];
    ssize_t size;
    if (descriptor == AT_FDCWD)
        strcpy(link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    return path;
}

static int of_descriptor(int descriptor)
{
    return below(path_of(descriptor));
}

static int of_path(int folder, const char *path)
{
    if (!path || !getenv("FAULT_FOLDERS"))
        return 0;
    return path[0] == '/' ? below(path) : of_descriptor(folder);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* What a call does to the files: it reads, it changes them, or it makes them longer or more. */
enum { READS, CHANGES, GROWS };

/* 0: go on; 1: fail; 2: do half of it, and then no more. */
static int verdict(const char *name, int kind, const char *path)
{
    const char *mode = getenv("FAULT_MODE"), *at = getenv("FAULT_AT"), *log = getenv("FAULT_LOG");
    const char *number = getenv("FAULT_ERRNO");
    long wanted = at ? atol(at) : 0;
    if (kind == READS && !getenv("FAULT_READS"))
        return 0;
    calls++;
    if (log) {
        int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        char line[PATH_MAX + 64];
        int size = snprintf(line, sizeof line, "%s\t%s\n", name, path);
        syscall(SYS_write, file, line, size);
        syscall(SYS_close, file);
    }
    if (!mode || !wanted)
        return 0;
    if (!strcmp(mode, "full") && calls >= wanted && kind == GROWS) {
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
        errno = number ? atoi(number) : EIO;
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
    return at + (off64_t)size > lseek64(descriptor, 0, SEEK_END);
}

/* lseek moves the place that write goes on from: put it back. */
static int kind_of_write(int descriptor, off64_t at, size_t size)
{
    off64_t here = lseek64(descriptor, 0, SEEK_CUR);
    int longer = lengthens(descriptor, at < 0 ? here : at, size);
    if (here >= 0)
        lseek64(descriptor, here, SEEK_SET);
    return longer ? GROWS : CHANGES;
}

#define WRITER(name, parameters, arguments, half, at, ...) \
    ssize_t name parameters \
    { \
        REAL(ssize_t, #name, __VA_ARGS__); \
        if (of_descriptor(descriptor)) { \
            int said = verdict(#name, kind_of_write(descriptor, at, size), path_of(descriptor)); \
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
       (descriptor, data, size / 2), -1, int, const void *, size_t)
WRITER(pwrite, (int descriptor, const void *data, size_t size, off_t at),
       (descriptor, data, size, at), (descriptor, data, size / 2, at), at, int, const void *, size_t,
       off_t)
WRITER(pwrite64, (int descriptor, const void *data, size_t size, off64_t at),
       (descriptor, data, size, at), (descriptor, data, size / 2, at), at, int, const void *, size_t,
       off64_t)

/* A call on an open file, and one on a path. */
#define ON_FILE(type, name, parameters, arguments, descriptor, kind, ...) \
    type name parameters \
    { \
        REAL(type, #name, __VA_ARGS__); \
        if (of_descriptor(descriptor) && verdict(#name, kind, path_of(descriptor)) == 1) \
            return -1; \
        return real arguments; \
    }
#define ON_PATH(type, name, parameters, arguments, folder, path, kind, failed, ...) \
    type name parameters \
    { \
        REAL(type, #name, __VA_ARGS__); \
        if (of_path(folder, path) && verdict(#name, kind, path) == 1) \
            return failed; \
        return real arguments; \
    }

ON_FILE(int, fsync, (int file), (file), file, CHANGES, int)
ON_FILE(int, fdatasync, (int file), (file), file, CHANGES, int)
ON_FILE(int, ftruncate, (int file, off_t size), (file, size), file, CHANGES, int, off_t)
ON_FILE(int, ftruncate64, (int file, off64_t size), (file, size), file, CHANGES, int, off64_t)
ON_FILE(int, fchown, (int file, uid_t user, gid_t group), (file, user, group), file, CHANGES, int,
        uid_t, gid_t)
ON_FILE(ssize_t, read, (int file, void *data, size_t size), (file, data, size), file, READS, int,
        void *, size_t)
ON_FILE(ssize_t, pread, (int file, void *data, size_t size, off_t at), (file, data, size, at), file,
        READS, int, void *, size_t, off_t)
ON_FILE(ssize_t, pread64, (int file, void *data, size_t size, off64_t at), (file, data, size, at),
        file, READS, int, void *, size_t, off64_t)
ON_FILE(int, flock, (int file, int operation), (file, operation), file, READS, int, int)
ON_FILE(ssize_t, sendfile, (int to, int from, off_t *at, size_t size), (to, from, at, size), to,
        GROWS, int, int, off_t *, size_t)
ON_FILE(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t size), (to, from, at, size), to,
        GROWS, int, int, off64_t *, size_t)
ON_FILE(ssize_t, copy_file_range,
        (int from, off64_t *start, int to, off64_t *at, size_t size, unsigned flags),
        (from, start, to, at, size, flags), to, GROWS, int, off64_t *, int, off64_t *, size_t,
        unsigned)

ON_PATH(int, unlink, (const char *path), (path), AT_FDCWD, path, CHANGES, -1, const char *)
ON_PATH(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), folder,
        path, CHANGES, -1, int, const char *, int)
ON_PATH(int, rmdir, (const char *path), (path), AT_FDCWD, path, CHANGES, -1, const char *)
ON_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, GROWS, -1,
        const char *, mode_t)
ON_PATH(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), folder,
        path, GROWS, -1, int, const char *, mode_t)
ON_PATH(int, rename, (const char *from, const char *to), (from, to), AT_FDCWD, to, GROWS, -1,
        const char *, const char *)
ON_PATH(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), b, to,
        GROWS, -1, int, const char *, int, const char *)
ON_PATH(int, truncate, (const char *path, off_t size), (path, size), AT_FDCWD, path, CHANGES, -1,
        const char *, off_t)
ON_PATH(int, truncate64, (const char *path, off64_t size), (path, size), AT_FDCWD, path, CHANGES,
        -1, const char *, off64_t)
ON_PATH(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group), AT_FDCWD,
        path, CHANGES, -1, const char *, uid_t, gid_t)
ON_PATH(int, lchown, (const char *path, uid_t user, gid_t group), (path, user, group), AT_FDCWD,
        path, CHANGES, -1, const char *, uid_t, gid_t)
ON_PATH(int, access, (const char *path, int mode), (path, mode), AT_FDCWD, path, READS, -1,
        const char *, int)
ON_PATH(int, faccessat, (int folder, const char *path, int mode, int flags),
        (folder, path, mode, flags), folder, path, READS, -1, int, const char *, int, int)
ON_PATH(ssize_t, readlink, (const char *path, char *target, size_t size), (path, target, size),
        AT_FDCWD, path, READS, -1, const char *, char *, size_t)
ON_PATH(ssize_t, readlinkat, (int folder, const char *path, char *target, size_t size),
        (folder, path, target, size), folder, path, READS, -1, int, const char *, char *, size_t)
ON_PATH(DIR *, opendir, (const char *path), (path), AT_FDCWD, path, READS, NULL, const char *)

/* What a share may have to say at the end; the descriptor is free all the same (close(2)). */
int close(int file)
{
    REAL(int, "close", int);
    int written = (syscall(SYS_fcntl, file, F_GETFL) & O_ACCMODE) != O_RDONLY;
    int said = of_descriptor(file) &&
               verdict("close", written ? CHANGES : READS, path_of(file)) == 1;
    int number = errno, done = real(file);
    if (!said)
        return done;
    errno = number;
    return -1;
}

/* What vfat has no answer to but a refusal. */
static int refused(void)
{
    if (!getenv("FAULT_VFAT"))
        return 0;
    errno = EPERM;
    return 1;
}

#define ON_VFAT(name, parameters, arguments, mine, kind, path, ...) \
    int name parameters \
    { \
        REAL(int, #name, __VA_ARGS__); \
        if ((mine) && (refused() || verdict(#name, kind, path) == 1)) \
            return -1; \
        return real arguments; \
    }

ON_VFAT(link, (const char *from, const char *to), (from, to), of_path(AT_FDCWD, to), GROWS, to,
        const char *, const char *)
ON_VFAT(linkat, (int a, const char *from, int b, const char *to, int flags),
        (a, from, b, to, flags), of_path(b, to), GROWS, to, int, const char *, int, const char *,
        int)
ON_VFAT(chmod, (const char *path, mode_t mode), (path, mode), of_path(AT_FDCWD, path), CHANGES,
        path, const char *, mode_t)
ON_VFAT(fchmod, (int file, mode_t mode), (file, mode), of_descriptor(file), CHANGES, path_of(file),
        int, mode_t)
ON_VFAT(fchmodat, (int folder, const char *path, mode_t mode, int flags),
        (folder, path, mode, flags), of_path(folder, path), CHANGES, path, int, const char *,
        mode_t, int)

#define STAT(name, type, parameters, arguments, mine, path, ...) \
    int name parameters \
    { \
        REAL(int, #name, __VA_ARGS__); \
        int found; \
        if (!(mine)) \
            return real arguments; \
        if (verdict(#name, READS, path) == 1) \
            return -1; \
        found = real arguments; \
        if (!found && getenv("FAULT_VFAT")) \
            facts->st_mode |= 0755; \
        return found; \
    }

#define STATS(suffix, type) \
    STAT(stat##suffix, type, (const char *path, type *facts), (path, facts), \
         of_path(AT_FDCWD, path), path, const char *, type *) \
    STAT(lstat##suffix, type, (const char *path, type *facts), (path, facts), \
         of_path(AT_FDCWD, path), path, const char *, type *) \
    STAT(fstat##suffix, type, (int file, type *facts), (file, facts), of_descriptor(file), \
         path_of(file), int, type *) \
    STAT(fstatat##suffix, type, (int folder, const char *path, type *facts, int flags), \
         (folder, path, facts, flags), of_path(folder, path), path, int, const char *, type *, int)

typedef struct stat facts_of;
typedef struct stat64 facts_of_64;
STATS(, facts_of)
STATS(64, facts_of_64)

#define OPENER(name, parameters, arguments, folder, ...) \
    int name parameters \
    { \
        REAL(int, #name, __VA_ARGS__); \
        mode_t mode = 0; \
        int made = flags & O_CREAT; \
        if (made) { \
            va_list list; \
            va_start(list, flags); \
            mode = va_arg(list, mode_t); \
            va_end(list); \
        } \
        if (of_path(folder, path)) { \
            int absent = syscall(SYS_faccessat, folder, path, F_OK); \
            if (verdict(#name, made && absent ? GROWS : READS, path) == 1) \
                return -1; \
        } \
        return real arguments; \
    }

OPENER(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD, const char *, int,
       ...)
OPENER(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD, const char *, int,
       ...)
OPENER(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), folder,
       int, const char *, int, ...)
OPENER(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode),
       folder, int, const char *, int, ...)

#define LOCKER(name) \
    int name(int file, int command, ...) \
    { \
        REAL(int, #name, int, int, ...); \
        va_list list; \
        void *argument; \
        va_start(list, command); \
        argument = va_arg(list, void *); \
        va_end(list); \
        if ((command == F_SETLK || command == F_SETLKW || command == F_GETLK) && \
            of_descriptor(file) && verdict(#name, READS, path_of(file)) == 1) \
            return -1; \
        return real(file, command, argument); \
    }

LOCKER(fcntl)
LOCKER(fcntl64)

struct dirent64 *readdir64(DIR *folder)
{
    REAL(struct dirent64 *, "readdir64", DIR *);
    int file = dirfd(folder);
    if (of_descriptor(file) && verdict("readdir64", READS, path_of(file)) == 1)
        return NULL;
    return real(folder);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static time_t offset;
    const char *wanted = getenv("FAULT_CLOCK");
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int done = real(clock, now);
    if (wanted && clock == CLOCK_REALTIME && !done) {
        if (!offset)
            offset = atoll(wanted) - now->tv_sec;
        now->tv_sec += offset;
    }
    return done;
}

time_t time(time_t *seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds)
        *seconds = now.tv_sec;
    return now.tv_sec;
}
