import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findCommand, repository } from './hostProgram.js';

/** The cross compilers, where the host has them. */
export const crossCompiler = findCommand('riscv64-linux-gnu-gcc');
export const crossCompilerPlus = findCommand('riscv64-linux-gnu-g++');

/** First line of what a compiler says about its version. */
export function compilerVersion(compiler: string): string {
  return execFileSync(compiler, ['--version'], { encoding: 'utf8' }).split('\n')[0];
}

/** How the guests of bench/ are compiled. */
export const guestFlags = ['-O2', '-static', '-pthread', '-lm'];

const versions = new Map<string, string>();

/** The host's own compiler. */
export const nativeCompiler = findCommand('gcc');

/** clang with what it needs for WebAssembly (Debian: clang, lld, wasi-libc, libclang-rt-dev-wasm32). */
export const wasmCompiler = existsSync('/usr/lib/wasm32-wasi/libc.a') ? findCommand('clang') : undefined;
const wasmFlags = [
  '--target=wasm32-wasi',
  '--sysroot=/usr',
  '-I/usr/include/wasm32-wasi',
  '-L/usr/lib/wasm32-wasi',
];

/** The path of the program that the compiler makes of the source, kept in .cache/guests. */
function compile(compiler: string, source: string, flags: readonly string[]): string {
  const folder = dirname(source);
  const hash = createHash('sha256');
  if (!versions.has(compiler)) versions.set(compiler, compilerVersion(compiler));
  hash.update(JSON.stringify([compiler, versions.get(compiler), flags]));
  for (const name of readdirSync(folder).sort())
    if (name.endsWith('.h')) hash.update(readFileSync(join(folder, name)));
  hash.update(readFileSync(source));
  const cache = join(repository, '.cache/guests');
  const program = join(cache, hash.digest('hex').slice(0, 24));
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Several processes may want the same program: each writes its own file and puts it in place whole.
  const part = `${program}.${process.pid}`;
  try {
    execFileSync(compiler, ['-o', part, source, ...flags], { stdio: ['ignore', 'inherit', 'inherit'] });
    renameSync(part, program);
  } finally {
    rmSync(part, { force: true });
  }
  return program;
}

/**
 * Compiles one source file (headers of its folder may be included) for riscv64 and gives the path of the program. The cross
 * compiler has to be there. Programs are kept under a name made from compiler, flags, source and headers.
 */
export function compileGuest(source: string, flags: readonly string[]): string {
  return compile(source.endsWith('.cpp') ? crossCompilerPlus! : crossCompiler!, source, flags);
}

/** Compiles one C source file for WebAssembly with WASI; `wasmCompiler` has to be there. */
export function compileWasm(source: string, flags: readonly string[]): string {
  return compile(wasmCompiler!, source, [...wasmFlags, ...flags]);
}

/** Compiles one C source file for the host; its compiler has to be there. */
export function compileNative(source: string, flags: readonly string[]): string {
  return compile(nativeCompiler!, source, flags);
}
