/* Marks what not every model calls. */
#if defined(__GNUC__)
#define SPARE __attribute__((unused))
#else
#define SPARE
#endif
