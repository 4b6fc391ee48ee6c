/**
 * FreeBSD's signals (sys/signal.h) and Linux's, which is what the kernel's shared parts use. Signals that Linux does not
 * have take the place of those that FreeBSD does not have (SIGEMT of SIGSTKFLT, SIGINFO of SIGPWR); of FreeBSD's 62 real-time
 * signals there are the first 31.
 */
const LINUX_OF: readonly number[] = [
  0, 1, 2, 3, 4, 5, 6, 16, 8, 9, 7, 11, 31, 13, 14, 15, 23, 19, 20, 18, 17, 21, 22, 29, 24, 25, 26, 27, 28,
  30, 10, 12, 32, 33,
];
/** SIGRTMIN of FreeBSD, and what it is on Linux. */
const FIRST_REALTIME = 65;
const LINUX_FIRST_REALTIME = 34;
const LINUX_LAST = 64;
const FREEBSD_OF: readonly number[] = invert();
/** _SIG_MAXSIG. */
export const MAX_SIGNAL = 128;

function invert(): number[] {
  const inverse: number[] = new Array(LINUX_LAST + 1).fill(0);
  LINUX_OF.forEach((linux, freebsd) => {
    inverse[linux] = freebsd;
  });
  for (let linux = LINUX_FIRST_REALTIME; linux <= LINUX_LAST; linux++)
    inverse[linux] = linux - LINUX_FIRST_REALTIME + FIRST_REALTIME;
  return inverse;
}

/** Linux's number of a FreeBSD signal; 0 for 0 and for signals that there are not. */
export function linuxSignal(freebsd: number): number {
  if (freebsd < LINUX_OF.length) return LINUX_OF[freebsd] ?? 0;
  const realtime = freebsd - FIRST_REALTIME + LINUX_FIRST_REALTIME;
  return realtime >= LINUX_FIRST_REALTIME && realtime <= LINUX_LAST ? realtime : 0;
}

/** FreeBSD's number of a Linux signal. */
export function freebsdSignal(linux: number): number {
  return FREEBSD_OF[linux] ?? 0;
}

/** A set of Linux's as its low and high word, from the 16 bytes of a FreeBSD sigset_t. */
export function linuxSet(words: DataView, at: number): { low: number; high: number } {
  let low = 0;
  let high = 0;
  for (let signal = 1; signal <= MAX_SIGNAL; signal++) {
    const bit = signal - 1;
    if ((words.getUint32(at + (bit >>> 5) * 4, true) & (1 << (bit & 31))) === 0) continue;
    const linux = linuxSignal(signal) - 1;
    if (linux >= 32) high |= 1 << (linux - 32);
    else if (linux >= 0) low |= 1 << linux;
  }
  return { low, high };
}

/** Writes a set of Linux's as a FreeBSD sigset_t. */
export function putFreebsdSet(words: DataView, at: number, low: number, high: number): void {
  for (let i = 0; i < 4; i++) words.setUint32(at + i * 4, 0, true);
  for (let linux = 1; linux <= LINUX_LAST; linux++) {
    const set = linux <= 32 ? low & (1 << (linux - 1)) : high & (1 << (linux - 33));
    const bit = freebsdSignal(linux) - 1;
    if (set === 0 || bit < 0) continue;
    const word = at + (bit >>> 5) * 4;
    words.setUint32(word, words.getUint32(word, true) | (1 << (bit & 31)), true);
  }
}
