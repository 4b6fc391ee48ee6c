/** One measurement of whole runs of a guest program. */
export interface Case {
  readonly name: string;
  /** Source in bench/guests without its ending. */
  readonly source: string;
  readonly args: readonly string[];
  /** What is compared: the whole process, or the part that the program measures itself. */
  readonly measure: 'process' | 'inside';
  /** Operations in the measured part, where a rate says more than a time. */
  readonly operations?: number;
}

const kernel = (name: string, source: string, ...args: string[]): Case => ({
  name,
  source,
  args,
  measure: 'process',
});

const rate = (name: string, kind: string, operations: number, threads = 1): Case => ({
  name,
  source: 'system',
  args: [kind, String(operations), String(threads)],
  measure: 'inside',
  operations,
});

/** Programs that compute. */
export const computing: readonly Case[] = [
  kernel('CoreMark-like', 'coremarklike', '500'),
  kernel('Dhrystone-like', 'dhrystonelike', '400000'),
  kernel('sort, sieve, queens', 'sorting', '8'),
  kernel('SHA-256 of 4 MiB', 'sha256', '4096'),
  kernel('fib(29)', 'fib', '29'),
  kernel('bytecode interpreter', 'bytecode', '200000'),
  kernel('byte loops', 'strings', '100', 'bytes'),
  kernel('libc memcpy, strlen', 'strings', '60', 'library'),
  kernel('pointer chase, 16 KiB', 'chase', '16', '10000000'),
  kernel('pointer chase, 16 MiB', 'chase', '16384', '2000000'),
  kernel('STREAM triad', 'triad', '5', '1000000'),
  kernel('n-body', 'nbody', '40000'),
  kernel('matrix product 128', 'matmul', '128'),
  kernel('Mandelbrot', 'mandelbrot', '150'),
  kernel('spectral norm', 'spectral', '100'),
  kernel('FFT', 'fft', '13', '3'),
];

/** What the kernel does. */
export const kernelWork: readonly Case[] = [
  { name: 'hello world', source: 'hello', args: [], measure: 'process' },
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
  rate('contended mutex, 2 threads', 'mutex', 200_000, 2),
];

/** Mapping and unmapping 64 KiB, where the kernel likes and at random addresses, among so many mappings. */
export const mappings: readonly Case[] = ['find', 'fixed'].flatMap((kind) =>
  [10, 100, 1000, 10_000, 65_000].map((count) =>
    rate(`${kind === 'find' ? 'map, unmap' : 'at random'}, ${count} mappings`, kind, 100_000, count),
  ),
);

/** The same work in one and in two threads. */
export const scaling: readonly Case[] = [
  { name: 'CPU-bound, 1 thread', source: 'system', args: ['spin', '200000000', '1'], measure: 'inside' },
  { name: 'CPU-bound, 2 threads', source: 'system', args: ['spin', '200000000', '2'], measure: 'inside' },
];
