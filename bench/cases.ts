/** One measurement of whole runs of a program. */
export interface Case {
  readonly name: string;
  readonly part: Part;
  /** Source in bench/guests without its ending, and the arguments of the program; or a real program. */
  readonly source: string;
  readonly args: readonly string[];
  /** What is compared: the whole process, or the part that the program measures itself. */
  readonly measure: 'process' | 'inside';
  /** Operations in the measured part, where a rate says more than a time. */
  readonly operations?: number;
  /** In qemu the program needs qemu's path as its last argument, to execute programs with it. */
  readonly qemuNamesItself?: boolean;
}

/** What `--parts` chooses from, in the order of the report. */
export const PARTS = {
  integer: 'Programs that compute with integers (whole process)',
  float: 'Programs that compute with floating-point numbers (whole process)',
  real: 'Real programs (whole process)',
  kernel: 'The kernel',
  processes: 'Processes',
  mappings: 'Among many mappings',
  threads: 'Two threads',
} as const;
export type Part = keyof typeof PARTS;

const program = (part: Part, name: string, source: string, ...args: string[]): Case => ({
  name,
  part,
  source,
  args,
  measure: 'process',
});

/** Processes (bench/guests/processes.c). qemu-user starts a program of another kind only by its own path (`execve`). */
const processes = (name: string, kind: string, operations: number): Case => ({
  name,
  part: 'processes',
  source: 'processes',
  args: [kind, String(operations)],
  measure: 'inside',
  operations,
  qemuNamesItself: kind === 'exec' || kind === 'vforkexec' || kind === 'spawn',
});

const rate = (name: string, kind: string, operations: number, threads = 1, part: Part = 'kernel'): Case => ({
  name,
  part,
  source: 'system',
  args: [kind, String(operations), String(threads)],
  measure: 'inside',
  operations,
});

/** Sized so that qemu-riscv64 takes some two to four seconds for each: what starting costs has measurements of its own. */
export const compiledCases: readonly Case[] = [
  program('integer', 'CoreMark-like', 'coremarklike', '12000'),
  program('integer', 'Dhrystone-like', 'dhrystonelike', '20000000'),
  program('integer', 'sort, sieve, queens', 'sorting', '300'),
  program('integer', 'SHA-256 of 195 MiB', 'sha256', '200000'),
  program('integer', 'fib(39)', 'fib', '39'),
  program('integer', 'bytecode interpreter', 'bytecode', '5000000'),
  program('integer', 'byte loops', 'strings', '12000', 'bytes'),
  program('integer', 'libc memcpy, strlen', 'strings', '8000', 'library'),
  program('integer', 'pointer chase, 16 KiB', 'chase', '16', '1000000000'),
  program('integer', 'pointer chase, 16 MiB', 'chase', '16384', '12000000'),
  program('integer', 'STREAM triad', 'triad', '200', '1000000'),
  program('float', 'n-body', 'nbody', '1500000'),
  program('float', 'matrix product 512', 'matmul', '512'),
  program('float', 'Mandelbrot', 'mandelbrot', '1600'),
  program('float', 'spectral norm', 'spectral', '2000'),
  program('float', 'FFT', 'fft', '16', '64'),
  { name: 'hello world', part: 'kernel', source: 'hello', args: [], measure: 'process' },
  rate('system call (getppid)', 'syscall', 200_000),
  rate('pthread create + join', 'threads', 10_000),
  rate('futex round trip', 'futex', 20_000),
  rate('pipe round trip', 'pipe', 10_000),
  rate('map 64 KiB, touch, unmap', 'map', 150_000),
  rate('the same, 2 threads', 'map', 150_000, 2),
  rate('the same, 4 threads', 'map', 150_000, 4),
  rate('the same, the first 1,000', 'map', 1_000),
  rate('mprotect toggle', 'protect', 100_000),
  rate('page fault', 'fault', 100_000),
  rate('contended mutex, 2 threads', 'mutex', 4_000_000, 2),
  processes('fork, wait', 'fork', 2000),
  processes('vfork, wait', 'vfork', 2000),
  processes('fork, exec of hello, wait', 'exec', 1000),
  processes('vfork, exec of hello, wait', 'vforkexec', 1000),
  processes('posix_spawn of hello, wait', 'spawn', 1000),
  processes('futex, two processes', 'futex', 20_000),
  processes('pipe, two processes', 'pipe', 20_000),
  processes('socket pair, two processes', 'socket', 20_000),
  // Mapping and unmapping 64 KiB, where the kernel likes and at random addresses.
  ...['find', 'fixed'].flatMap((kind) =>
    [10, 100, 1000, 10_000, 65_000].map((count) =>
      rate(
        `${kind === 'find' ? 'map, unmap' : 'at random'}, ${count} mappings`,
        kind,
        100_000,
        count,
        'mappings',
      ),
    ),
  ),
  ...['1', '2'].map(
    (threads): Case => ({
      name: `CPU-bound, ${threads} thread${threads === '1' ? '' : 's'}`,
      part: 'threads',
      source: 'system',
      args: ['spin', '1000000000', threads],
      measure: 'inside',
    }),
  ),
];
