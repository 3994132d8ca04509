/* A file system that misbehaves on purpose, put between OpenSSH's server and the real one by the loader. Files in the
 * directory that BENT names say how; see bent.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static char directory[512];

/* The server clears the environment of its sessions. */
__attribute__((constructor)) static void remember(void) {
    const char *text = getenv("BENT");
    snprintf(directory, sizeof directory, "%s", text ? text : "");
}

static const char *at(const char *name) {
    static char path[640];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int is(const char *name) {
    int before = errno;
    int there = directory[0] && access(at(name), F_OK) == 0;
    errno = before;
    return there;
}

static void say(const char *name) {
    int file = open(at(name), O_CREAT | O_WRONLY, 0644);
    if (file >= 0)
        close(file);
}

/* Half a minute at most: a test that waits longer has failed. */
static void wait_for(const char *path) {
    for (int i = 0; i < 6000 && access(path, F_OK) != 0; i++)
        usleep(5000);
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    struct stat found;
    if (file > 2 && fstat(file, &found) == 0 && S_ISREG(found.st_mode)) {
        if (is("disk-full")) {
            errno = ENOSPC;
            return -1;
        }
        if (is("over-quota")) {
            errno = EDQUOT;
            return -1;
        }
    }
    return real(file, bytes, count);
}

int statvfs(const char *path, struct statvfs *found) {
    int (*real)(const char *, struct statvfs *) = dlsym(RTLD_NEXT, "statvfs");
    int result = real(path, found);
    if (result == 0 && is("disk-full"))
        found->f_bavail = found->f_bfree = 0;
    return result;
}

int statvfs64(const char *path, struct statvfs64 *found) {
    int (*real)(const char *, struct statvfs64 *) = dlsym(RTLD_NEXT, "statvfs64");
    int result = real(path, found);
    if (result == 0 && is("disk-full"))
        found->f_bavail = found->f_bfree = 0;
    return result;
}

/* `late-link`: the first link is not made before another one is asked for, which then comes too late. */
int link(const char *old, const char *new) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "link");
    if (is("no-links")) {
        say("link-refused");
        errno = EOPNOTSUPP;
        return -1;
    }
    if (is("late-link") && unlink(at("late-link")) == 0) {
        say("link-is-late");
        wait_for(at("other-link"));
    } else if (is("link-is-late")) {
        say("other-link");
        wait_for(new);
    }
    return real(old, new);
}
