/* Between a program and the disk (LD_PRELOAD): writes down what is done below a folder, or has the disk run full.

   DISK_ROOT  the folder, absolute and free of links; what lies elsewhere is left alone
   DISK_LOG   a file to which every operation below the folder is added once it has succeeded
   DISK_QUOTA if set, it is a quota that runs out, and not the disk

   From disk_full_at(N) on, a function for the program itself to call, the Nth operation finds no space left, and so
   does each one after it but those that free some; disk_operations() says how many there were.

   A record is the header below, the name, the second name and the bytes written. Files are told apart by inode. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 'c', WRITE = 'w', CUT = 't', SYNC = 's', RENAME = 'r', UNLINK = 'u', MKDIR = 'd', RMDIR = 'x' };

struct header { uint64_t op, inode, folder, offset, name, second, bytes; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static int log_file = -1;
static long full_at, done;
static int full = ENOSPC;

void disk_full_at(long number) { done = 0; full_at = number; }
long disk_operations(void) { return done; }

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("DISK_ROOT"), *log = getenv("DISK_LOG");
    if (!folder) return;
    snprintf(root, sizeof root, "%s/", folder);
    if (getenv("DISK_QUOTA")) full = EDQUOT;
    if (log) log_file = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int below(const char *path) { return *root && !strncmp(path, root, strlen(root)); }

/* The whole path of what a call names; 0 if it lies elsewhere. */
static int named(int at, const char *path, char *whole) {
    char folder[PATH_MAX], link[64];
    if (*path == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
    } else {
        if (at == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, folder, sizeof folder - 1);
        if (length < 0) return 0;
        folder[length] = 0;
        if (snprintf(whole, PATH_MAX, "%s/%s", folder, path) >= PATH_MAX) return 0;
    }
    return below(whole);
}

static int ours(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = *root ? readlink(link, path, sizeof path - 2) : -1;
    if (length < 0) return 0;
    path[length] = '/';  /* the folder itself is ours, too */
    path[length + 1] = 0;
    return below(path);
}

static int no_space(void) {
    if (!full_at || __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST) < full_at) return 0;
    errno = full;
    return 1;
}

static uint64_t inode_of(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

static uint64_t inode_of_file(int file) {
    struct stat found;
    return fstat(file, &found) ? 0 : found.st_ino;
}

static uint64_t folder_of(const char *path) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    *slash = 0;
    return inode_of(folder);
}

static const char *last(const char *path) { return path ? strrchr(path, '/') + 1 : ""; }

static void record(int op, uint64_t inode, uint64_t folder, off_t offset, const char *path, const char *second,
                   const void *bytes, size_t length) {
    if (log_file < 0) return;
    int kept = errno;
    struct header header = {op, inode, folder, offset, strlen(last(path)), strlen(last(second)), length};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)last(path), header.name},
                            {(void *)last(second), header.second}, {(void *)bytes, length}};
    if (writev(log_file, parts, 4) < 0) abort();
    errno = kept;
}

/* One operation at a time, so that the records are in the order in which things were done. */
#define ALONE(type, call) \
    pthread_mutex_lock(&lock); type result = call; int failed = errno;
#define AGAIN pthread_mutex_unlock(&lock); errno = failed; return result

static int opened(const char *call, int at, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    int watched = (flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE && named(at, path, whole);
    uint64_t before = watched ? inode_of(whole) : 0;
    if (watched && !before && (flags & O_CREAT) && no_space()) return -1;
    ALONE(int, ((int (*)(int, const char *, int, ...))real(call))(at, path, flags, mode))
    if (watched && result >= 0 && !before)
        record(CREATE, inode_of_file(result), folder_of(whole), 0, whole, NULL, NULL, 0);
    else if (watched && result >= 0 && (flags & O_TRUNC))
        record(CUT, before, 0, 0, NULL, NULL, NULL, 0);
    AGAIN;
}

#define MODE va_list rest; va_start(rest, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest)
int open(const char *path, int flags, ...) { MODE; return opened("openat", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return opened("openat64", AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE; return opened("openat", at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE; return opened("openat64", at, path, flags, mode); }

/* `at` below 0: where the file stands. A disk that runs full takes half of what it is given first. */
static ssize_t written(int file, const void *bytes, size_t length, off_t at) {
    if (!ours(file)) return at < 0 ? REAL(write)(file, bytes, length) : REAL(pwrite)(file, bytes, length, at);
    if (no_space()) {
        if (done != full_at || length < 2) return -1;
        length /= 2;
    }
    ALONE(ssize_t, at < 0 ? REAL(write)(file, bytes, length) : REAL(pwrite)(file, bytes, length, at))
    if (result > 0) {
        off_t begun = at < 0 ? lseek(file, 0, SEEK_CUR) - result : at;
        record(WRITE, inode_of_file(file), 0, begun, NULL, NULL, bytes, result);
    }
    AGAIN;
}

ssize_t write(int file, const void *bytes, size_t length) { return written(file, bytes, length, -1); }
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) { return written(file, bytes, length, at); }
ssize_t pwrite64(int file, const void *bytes, size_t length, off_t at) { return written(file, bytes, length, at); }

static int cut(int file, off_t length) {
    ALONE(int, REAL(ftruncate)(file, length))
    if (!result && ours(file)) record(CUT, inode_of_file(file), 0, length, NULL, NULL, NULL, 0);
    AGAIN;
}

int ftruncate(int file, off_t length) { return cut(file, length); }
int ftruncate64(int file, off_t length) { return cut(file, length); }

static int synced(const char *call, int file) {
    int watched = ours(file);
    if (watched && no_space()) return -1;
    ALONE(int, ((int (*)(int))real(call))(file))
    if (watched && !result) record(SYNC, inode_of_file(file), 0, 0, NULL, NULL, NULL, 0);
    AGAIN;
}

int fsync(int file) { return synced("fsync", file); }
int fdatasync(int file) { return synced("fdatasync", file); }

static int renamed(int at, const char *path, int to, const char *second) {
    char whole[PATH_MAX], other[PATH_MAX];
    int watched = named(at, path, whole) & named(to, second, other);
    uint64_t folder = watched ? folder_of(whole) : 0;
    if (watched && no_space()) return -1;
    ALONE(int, REAL(renameat)(at, path, to, second))
    if (watched && !result) record(RENAME, inode_of(other), folder, folder_of(other), whole, other, NULL, 0);
    AGAIN;
}

int rename(const char *path, const char *second) { return renamed(AT_FDCWD, path, AT_FDCWD, second); }
int renameat(int at, const char *path, int to, const char *second) { return renamed(at, path, to, second); }

static int removed(int at, const char *path, int flags) {
    char whole[PATH_MAX];
    int watched = named(at, path, whole);
    uint64_t folder = watched ? folder_of(whole) : 0;
    ALONE(int, REAL(unlinkat)(at, path, flags))
    if (watched && !result) record(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, folder, 0, whole, NULL, NULL, 0);
    AGAIN;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }

static int made(int at, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    int watched = named(at, path, whole);
    if (watched && no_space()) return -1;
    ALONE(int, REAL(mkdirat)(at, path, mode))
    if (watched && !result) record(MKDIR, inode_of(whole), folder_of(whole), 0, whole, NULL, NULL, 0);
    AGAIN;
}

int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return made(at, path, mode); }
