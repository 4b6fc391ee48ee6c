import fc from 'fast-check';

/**
 * Random sequences of memory calls for callInterpreter.c, as its lines. Whoever compares kernels with them leaves out what
 * kernels may do differently: which pages of a file are in memory, when MADV_FREE frees, what MAP_NORESERVE allows.
 */

/** Pages of the arena that all calls work in, and of the files. */
const ARENA = 48;
const FILE_PAGES = 6;

const page = fc.integer({ min: 0, max: ARENA - 13 });
const count = fc.integer({ min: 1, max: 12 });
const prot = fc.constantFrom(0, 1, 3, 3, 5, 7, 2);
const at = page.map((p) => `a${p}`);
const length = fc.oneof(
  { weight: 8, arbitrary: count.map((n) => `p${n}`) },
  { weight: 1, arbitrary: count.map((n) => `p${n}-${1 + ((n * 331) % 4095)}`) },
);
/** An arena address, now and then unaligned. */
const anywhere = fc.oneof(
  { weight: 12, arbitrary: at },
  { weight: 1, arbitrary: page.map((p) => `a${p}+${1 + ((p * 97) % 4095)}`) },
);
const offset = fc.integer({ min: 0, max: FILE_PAGES }).map((n) => `p${n}`);

/** Linux refuses to map it only when what was there is unmapped. */
const SOCKET = 10;

const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_VALIDATE = 3;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_GROWSDOWN = 0x100;
const MAP_DENYWRITE = 0x800;
const MAP_LOCKED = 0x2000;
const MAP_POPULATE = 0x8000;
const MAP_NONBLOCK = 0x1_0000;
const MAP_STACK = 0x2_0000;
const MAP_FIXED_NOREPLACE = 0x10_0000;

const fixed = fc.constantFrom(MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE);
const decoration = fc.constantFrom(
  0,
  0,
  0,
  0,
  MAP_DENYWRITE,
  MAP_LOCKED,
  MAP_POPULATE,
  MAP_POPULATE | MAP_NONBLOCK,
  MAP_STACK,
);

const mmapAnonymous = fc
  .tuple(anywhere, length, prot, fc.constantFrom(MAP_SHARED, MAP_PRIVATE, MAP_PRIVATE), fixed, decoration)
  .map(([a, n, p, type, how, more]) => `mmap ${a} ${n} ${p} ${type | how | more | MAP_ANONYMOUS} -1 0`);
const mmapFile = fc
  .tuple(
    anywhere,
    length,
    prot,
    fc.constantFrom(MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE),
    fixed,
    decoration,
    fc.constantFrom(0, 0, 0, 1, 4, 4, 5, 6, 7),
    offset,
  )
  .map(([a, n, p, type, how, more, fd, o]) => `mmap ${a} ${n} ${p} ${type | how | more} f${fd} ${o}`);
/** Descriptors of every kind, and flags that make no sense. */
const mmapOdd = fc
  .tuple(
    anywhere,
    length,
    prot,
    fc.constantFrom(0, MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, 4, MAP_PRIVATE | MAP_GROWSDOWN),
    fc.constantFrom(0, MAP_ANONYMOUS),
    fc.integer({ min: 0, max: 19 }),
    fc.constantFrom('0', 'p1', '100'),
  )
  // Elsewhere would be different in each kernel.
  .map(
    ([a, n, p, type, anonymous, fd, o]) =>
      `mmap ${a} ${n} ${p} ${type | anonymous | MAP_FIXED} f${fd === SOCKET ? 0 : fd} ${o}`,
  );

const advice = fc.constantFrom(
  4,
  4,
  4,
  0,
  1,
  2,
  3,
  9,
  9,
  10,
  11,
  16,
  17,
  18,
  19,
  20,
  22,
  23,
  24,
  26,
  99,
  12345,
);

/** mremap; equal sizes over several mappings are left out: since 6.17 Linux moves those. */
const mremap = fc
  .tuple(
    anywhere,
    fc.integer({ min: 0, max: 12 }),
    fc.integer({ min: 0, max: 13 }),
    fc.constantFrom(0, 1, 1, 3, 3, 3, 2, 8),
    page,
  )
  .map(([a, n, m, flags, to]) => `mremap ${a} p${n} p${flags === 3 && m === n ? m + 1 : m} ${flags} a${to}`);

const access = fc.oneof(
  page.map((p) => `read a${p}+5`),
  fc.tuple(page, fc.integer({ min: 1, max: 190 })).map(([p, v]) => `write a${p}+5 ${v}`),
);

const growing = fc.oneof(
  fc
    .tuple(at, length, prot)
    .map(([a, n]) => `mmap ${a} ${n} 3 ${MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN} -1 0`),
  fc
    .tuple(at, length, prot, fc.constantFrom(0x100_0000, 0x100_0000, 0x200_0000, 0x300_0000))
    .map(([a, n, p, grows]) => `mprotect ${a} ${n} ${p | grows}`),
);

const files = fc.oneof(
  fc
    .tuple(fc.constantFrom(0, 4, 7), fc.integer({ min: 0, max: FILE_PAGES }), fc.constantFrom('', '+100'))
    .map(([fd, n, more]) => `ftruncate f${fd} p${n}${more}`),
  fc
    .tuple(
      fc.constantFrom(0, 4, 5, 6),
      fc.integer({ min: 1, max: 190 }),
      fc.integer({ min: 0, max: FILE_PAGES - 1 }),
    )
    .map(([fd, v, n]) => `pwrite f${fd} ${v} p${n}+5`),
  fc
    .tuple(fc.constantFrom(0, 1, 4, 5, 6), fc.integer({ min: 0, max: FILE_PAGES - 1 }))
    .map(([fd, n]) => `pread f${fd} p${n}+5`),
  fc.tuple(fc.constantFrom(4, 6), fc.constantFrom(2, 4, 8, 16)).map(([fd, seal]) => `seal f${fd} ${seal}`),
);

const locks = fc.oneof(
  fc.tuple(at, length).map(([a, n]) => `mlock ${a} ${n}`),
  fc.tuple(at, fc.integer({ min: 1, max: 4000 }), length).map(([a, b, n]) => `mlock ${a}+${b} ${n}`),
  fc.tuple(at, length, fc.integer({ min: 0, max: 3 })).map(([a, n, f]) => `mlock2 ${a} ${n} ${f}`),
  fc.tuple(at, length).map(([a, n]) => `munlock ${a} ${n}`),
  fc.constant('munlockall'),
);

const plain = fc.oneof(
  { weight: 3, arbitrary: mmapAnonymous },
  { weight: 3, arbitrary: mmapFile },
  { weight: 1, arbitrary: mmapOdd },
  { weight: 2, arbitrary: fc.tuple(anywhere, length).map(([a, n]) => `munmap ${a} ${n}`) },
  { weight: 3, arbitrary: fc.tuple(anywhere, length, prot).map(([a, n, p]) => `mprotect ${a} ${n} ${p}`) },
  { weight: 3, arbitrary: mremap },
  { weight: 3, arbitrary: fc.tuple(anywhere, length, advice).map(([a, n, f]) => `madvise ${a} ${n} ${f}`) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anywhere, length, fc.constantFrom(1, 2, 4, 5, 0, 6, 8))
      .map(([a, n, f]) => `msync ${a} ${n} ${f}`),
  },
  { weight: 1, arbitrary: fc.tuple(anywhere, length).map(([a, n]) => `mincore ${a} ${n} v0`) },
  { weight: 1, arbitrary: locks },
  { weight: 1, arbitrary: growing },
  { weight: 1, arbitrary: files },
  { weight: 1, arbitrary: fc.constantFrom('brk b3', 'brk b5+7', 'brk b1+1', 'brk b0') },
  { weight: 4, arbitrary: access },
  {
    weight: 1,
    arbitrary: fc.oneof({ weight: 5, arbitrary: access }, { weight: 1, arbitrary: fc.constant('fork') }),
  },
  {
    weight: 1,
    arbitrary: fc.oneof(
      fc.integer({ min: 0, max: 7 }).map((s) => `read s${s}+5`),
      fc
        .tuple(fc.integer({ min: 0, max: 7 }), count, page)
        .map(([s, n, p]) => `mremap s${s} p1 p${n + 1} 3 a${p}`),
    ),
  },
);

/** Numbers near the ends of every width; tN: beyond the end of user addresses, which is different everywhere. */
const difference = fc.constantFrom(
  0,
  1,
  -1,
  100,
  -100,
  4096,
  -4096,
  4095,
  -4095,
  8192,
  -8192,
  -65536,
  -65535,
);
const extreme = fc.oneof(
  fc
    .tuple(fc.constantFrom(0n, 1n << 32n, 1n << 52n, 1n << 53n, 1n << 62n, 1n << 63n, 1n << 64n), difference)
    .map(([a, b]) => String(BigInt.asUintN(64, a + BigInt(b)))),
  fc.tuple(fc.integer({ min: -3, max: 3 }), difference).map(([n, b]) => `t${n}${b < 0 ? b : `+${b}`}`),
);
/** As flags: which bits the end of user addresses has is different everywhere, too. */
const extremeFlags = extreme.filter((flags) => !flags.startsWith('t'));
const address = fc.oneof(extreme, anywhere);
/** Four gigabytes are not too much for a host; the lowest page is not forbidden to root. */
const size = fc.oneof(
  extreme.filter((n) => !n.startsWith('42949')),
  length,
);
/** Where within its page an address beyond 2^53 lies is not known exactly, which only a length near 2^64 can tell. */
const alignedAddress = fc.oneof(
  extreme.filter((a) => (a.startsWith('t') ? !/[-+](1|100|4095|65535)$/.test(a) : BigInt(a) % 4096n === 0n)),
  anywhere,
);
const placeable = address.filter((a) => !/^\d{1,5}$/.test(a));

const hostile = fc.oneof(
  fc
    .oneof(
      fc.tuple(extreme, length),
      fc.tuple(
        anywhere,
        extreme.filter((n) => n.startsWith('t')),
      ),
    )
    .map(([a, n]) => `munmap ${a} ${n}`),
  fc
    .tuple(address, size, fc.oneof(prot.map(String), extremeFlags))
    .map(([a, n, p]) => `mprotect ${a} ${n} ${p}`),
  // What drops pages would drop the program's own.
  fc.tuple(address, size).map(([a, n]) => `madvise ${a} ${n} 3`),
  fc.tuple(address, size, fc.constantFrom(1, 2, 4, 8)).map(([a, n, f]) => `msync ${a} ${n} ${f}`),
  fc.tuple(address, size, fc.constantFrom('v0', '-1', '0')).map(([a, n, v]) => `mincore ${a} ${n} ${v}`),
  fc.tuple(alignedAddress, size).map(([a, n]) => `munlock ${a} ${n}`),
  fc.tuple(alignedAddress, size, fc.constantFrom(0, 1, 2)).map(([a, n, f]) => `mlock2 ${a} ${n} ${f}`),
  fc
    .tuple(address, size, size, fc.oneof(fc.constantFrom('0', '1', '2', '5', '8'), extremeFlags), address)
    .filter(([a, n, m, flags]) => !(n === m && flags === '3') && !a.startsWith('s'))
    .map(([a, n, m, flags, to]) => `mremap ${a} ${n} ${m} ${flags} ${to}`),
  fc
    .tuple(placeable, size, fc.constantFrom(MAP_SHARED, MAP_PRIVATE), fc.constantFrom('0', 'p1', '100'))
    .map(([a, n, type, o]) => `mmap ${a} ${n} 3 ${type | MAP_FIXED_NOREPLACE} f4 ${o}`),
  fc
    .tuple(placeable, size)
    .map(([a, n]) => `mmap ${a} ${n} 3 ${MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE} -1 0`),
  extreme.map((a) => `brk ${a}`),
);

/** Sequences of plausible calls. */
export const plausibleCalls = (most: number) =>
  fc.array(plain, { minLength: 1, maxLength: most, size: 'max' });
/** Sequences with calls whose arguments are at the ends of what there is. */
export const hostileCalls = (most: number) =>
  fc.array(fc.oneof({ weight: 3, arbitrary: hostile }, { weight: 2, arbitrary: plain }), {
    minLength: 1,
    maxLength: most,
    size: 'max',
  });
