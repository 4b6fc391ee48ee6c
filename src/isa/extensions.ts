/**
 * The extensions beyond RV64GC that this processor may have. RV64GC itself (with Zicsr, Zifencei, Zicntr) is always
 * there, but for C where it is switched off. A set
 * of extensions is a bit mask, so that it fits into a record and into a test of the predecoder.
 */

export const ZBA = 1 << 0;
export const ZBB = 1 << 1;
export const ZBC = 1 << 2;
export const ZBS = 1 << 3;
export const ZICOND = 1 << 4;
export const ZFA = 1 << 5;
export const ZFHMIN = 1 << 6;
export const ZFH = 1 << 7;
export const ZICBOM = 1 << 8;
export const ZICBOP = 1 << 9;
export const ZICBOZ = 1 << 10;
export const ZAWRS = 1 << 11;
export const ZCB = 1 << 12;
export const ZBKB = 1 << 13;
export const ZBKC = 1 << 14;
export const ZBKX = 1 << 15;
export const ZKND = 1 << 16;
export const ZKNE = 1 << 17;
export const ZKNH = 1 << 18;
/** What two extensions have in common, either of which brings it: rotations and logic, products without carry, the key schedule. */
export const ZBB_ZBKB = 1 << 19;
export const ZBC_ZBKC = 1 << 20;
export const ZKND_ZKNE = 1 << 21;
/** The one thing of RV64GC that a processor can lack: compressed instructions. */
export const WITHOUT_C = 1 << 22;
const SHARED = ZBB_ZBKB | ZBC_ZBKC | ZKND_ZKNE;

/** RV64GC alone. */
export const NO_EXTENSIONS = 0;

/** Bytes of a block of Zicbom, Zicbop and Zicboz. */
export const CACHE_BLOCK = 64;

/** What is known of an extension. */
export interface Extension {
  /** Its name in an ISA string, and of QEMU's switch for it. */
  readonly name: string;
  readonly bit: number;
  /** Extensions that it is made of, and brings with it. */
  readonly implies: number;
  /** Whether the processor `rv64` has it; QEMU 10's does. */
  readonly usual: boolean;
  /** Its bit in RISCV_HWPROBE_KEY_IMA_EXT_0 (asm/hwprobe.h); undefined where there is none. */
  readonly probeBit: number | undefined;
}

const extension = (
  name: string,
  bit: number,
  usual: boolean,
  probeBit: number | undefined,
  implies = 0,
): Extension => ({ name, bit, implies, usual, probeBit });

/** All extensions, in the order of an ISA string (manual, "ISA Extension Naming Conventions"). */
export const EXTENSIONS: readonly Extension[] = [
  extension('zicbom', ZICBOM, true, 55),
  extension('zicbop', ZICBOP, true, undefined),
  extension('zicboz', ZICBOZ, true, 6),
  extension('zicond', ZICOND, false, 35),
  extension('zawrs', ZAWRS, true, 48),
  extension('zfa', ZFA, true, 32),
  extension('zfh', ZFH, false, 27, ZFHMIN),
  extension('zfhmin', ZFHMIN, false, 28),
  extension('zcb', ZCB, false, 44),
  extension('zba', ZBA, true, 3),
  extension('zbb', ZBB, true, 4, ZBB_ZBKB),
  extension('zbc', ZBC, true, 7, ZBC_ZBKC),
  extension('zbkb', ZBKB, false, 8, ZBB_ZBKB),
  extension('zbkc', ZBKC, false, 9, ZBC_ZBKC),
  extension('zbkx', ZBKX, false, 10),
  extension('zbs', ZBS, true, 5),
  extension('zknd', ZKND, false, 11, ZKND_ZKNE),
  extension('zkne', ZKNE, false, 12, ZKND_ZKNE),
  extension('zknh', ZKNH, false, 13),
];

/** Every extension there is. */
export const ALL_EXTENSIONS = EXTENSIONS.reduce((all, { bit }) => all | bit, SHARED);

/** `extensions` with those that they bring along. */
export function withImplied(extensions: number): number {
  return EXTENSIONS.reduce(
    (all, { bit, implies }) => (all & bit ? all | implies : all),
    extensions & ~SHARED,
  );
}

/** The extensions of the processor `rv64`. */
export const USUAL_EXTENSIONS = withImplied(
  EXTENSIONS.reduce((all, { bit, usual }) => (usual ? all | bit : all), 0),
);

/** The ISA string of a processor, as /proc/cpuinfo has it. */
export function isaString(extensions: number): string {
  const has = (names: readonly Extension[]): string[] =>
    names.filter(({ bit }) => extensions & bit).map(({ name }) => name);
  const control = EXTENSIONS.filter(({ name }) => name.startsWith('zi'));
  const others = EXTENSIONS.filter(({ name }) => !name.startsWith('zi'));
  const always = ['zicntr', 'zicsr', 'zifencei', 'zihintntl', 'zihintpause'];
  const base = extensions & WITHOUT_C ? 'rv64imafd' : 'rv64imafdc';
  return [base, ...[...has(control), ...always].sort(), ...has(others)].join('_');
}
