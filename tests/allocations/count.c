/* Counts the pieces of memory that a program asks the C library for, in a file
 * of eight octets that others can read meanwhile. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t nowhere;
static volatile uint64_t *count = &nowhere;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("COUNT_FILE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        count = page;
    close(file);
}

void *malloc(size_t size)
{
    ++*count;
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    ++*count;
    return __libc_calloc(number, size);
}

void *realloc(void *piece, size_t size)
{
    ++*count;
    return __libc_realloc(piece, size);
}

int posix_memalign(void **piece, size_t alignment, size_t size)
{
    ++*count;
    *piece = __libc_memalign(alignment, size);
    return *piece ? 0 : 12;
}
