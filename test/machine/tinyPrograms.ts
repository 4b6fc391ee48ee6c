import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { buildElf } from '../loader/elfBuilder.js';

/** Registers by ABI name. */
const zero = 0;
const a0 = 10;
const a1 = 11;
const a2 = 12;
const a7 = 17;
const s0 = 8;

const addi = (rd: number, rs: number, imm: number) =>
  (((imm & 0xfff) << 20) | (rs << 15) | (rd << 7) | 0x13) >>> 0;
const lui = (rd: number, imm: number) => ((imm << 12) | (rd << 7) | 0x37) >>> 0;
const bge = (rs1: number, rs2: number, offset: number) => {
  const o = offset & 0x1fff;
  return (
    (((o >> 12) << 31) |
      (((o >> 5) & 0x3f) << 25) |
      (rs2 << 20) |
      (rs1 << 15) |
      (5 << 12) |
      (((o >> 1) & 0xf) << 8) |
      (((o >> 11) & 1) << 7) |
      0x63) >>>
    0
  );
};
const jal = (offset: number) => {
  const o = offset & 0x1fffff;
  return (
    (((o >> 20) << 31) |
      (((o >> 1) & 0x3ff) << 21) |
      (((o >> 11) & 1) << 20) |
      (((o >> 12) & 0xff) << 12) |
      0x6f) >>>
    0
  );
};
const ECALL = 0x73;
const SYS_read = 63;
const SYS_write = 64;
const SYS_exit_group = 94;
const CODE = 0x10000;
const CODE_OFFSET = 0x200;
const BUFFER = 0x20; // as lui takes it

const call = (number: number) => [addi(a7, zero, number), ECALL];
const exit = (code: number) => [addi(a0, zero, code), ...call(SYS_exit_group)];

/** Writes `length` bytes of the program's data on descriptor `fd`. */
const write = (fd: number, length: number) => [
  ...[addi(a0, zero, fd), lui(a1, CODE >> 12), addi(a1, a1, 0x400), addi(a2, zero, length)],
  ...call(SYS_write),
];

/** Copies stdin to stdout until its end, and exits with 0. */
function copyInput(): number[] {
  const body = [addi(a0, zero, 0), lui(a1, BUFFER), lui(a2, 1), ...call(SYS_read)];
  const out = [addi(a2, a0, 0), addi(a0, zero, 1), lui(a1, BUFFER), ...call(SYS_write)];
  const whole = [...body, bge(zero, a0, (out.length + 2) * 4), ...out];
  return [...whole, jal(-whole.length * 4), ...exit(0)];
}

/** Programs of a few instructions, so that the tests need no compiler. */
export const tiny = {
  /** Exits with `code`. */
  exit: (code: number): Uint8Array => program(exit(code)),
  /** Writes `text` on descriptor `fd` and exits with `code`. */
  print: (text: string, fd = 1, code = 0): Uint8Array => {
    const bytes = new TextEncoder().encode(text);
    return program([...write(fd, bytes.length), ...exit(code)], bytes);
  },
  /** Copies stdin to stdout; exits with 0 at the end. */
  cat: (): Uint8Array => program(copyInput()),
  /** Writes `text`, then does as `cat`. */
  greetAndCat: (text: string): Uint8Array => {
    const bytes = new TextEncoder().encode(text);
    return program([...write(1, bytes.length), ...copyInput()], bytes);
  },
  /** Runs for ever. */
  spin: (): Uint8Array => program([jal(0)]),
  /** Waits for ever in read(0). */
  wait: (): Uint8Array =>
    program([addi(a0, zero, 0), lui(a1, BUFFER), lui(a2, 1), ...call(SYS_read), ...exit(3)]),
  /** Stores to address 0x123. */
  crash: (): Uint8Array => program([addi(s0, zero, 0x123), 0x0084_3023 /* sd s0, 0(s0) */, ...exit(0)]),
};

function program(words: number[], data = new Uint8Array(0)): Uint8Array {
  return buildElf({
    entry: CODE + CODE_OFFSET,
    segments: [
      { vaddr: CODE, fileSize: 4096, flags: 5 },
      { vaddr: BUFFER << 12, offset: 0, fileSize: 0, memorySize: 0x2000, flags: 6 },
    ],
    put: [
      { at: CODE_OFFSET, bytes: new Uint8Array(Uint32Array.from(words).buffer) },
      { at: 0x400, bytes: data },
    ],
  });
}

let folder: string | undefined;
afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** Writes a file into the test's temporary folder, executable, and returns its path. */
export function testFile(name: string, bytes: Uint8Array | string): string {
  folder ??= mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
  const path = join(folder, name);
  writeFileSync(path, bytes);
  chmodSync(path, 0o755);
  return path;
}
