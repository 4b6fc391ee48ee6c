import {
  ALL_EXTENSIONS,
  EXTENSIONS,
  USUAL_EXTENSIONS,
  WITHOUT_C,
  withImplied,
  ZBKB,
  ZBKC,
  ZBKX,
  ZKND,
  ZKNE,
  ZKNH,
} from './extensions.js';

/** A processor that there is not: an unknown model or extension, or one that cannot be switched. One line. */
export class CpuModelError extends Error {
  override name = 'CpuModelError';
}

/** The processors by name, with their extensions. */
const MODELS: Readonly<Record<string, number>> = { rv64: USUAL_EXTENSIONS, max: ALL_EXTENSIONS };

/**
 * Switches for several extensions at once; switched off, they do nothing. Zk has no more than Zkn: the entropy source (Zkr) is
 * closed to programs by Linux, and what an instruction's time depends on (Zkt) nobody here can promise.
 */
const ZKN = ZBKB | ZBKC | ZBKX | ZKND | ZKNE | ZKNH;
const GROUPS: Readonly<Record<string, number>> = { zkn: ZKN, zk: ZKN };

/** The processor that guests get unless their options name another one. */
export const DEFAULT_CPU = 'rv64';

/** What every processor here has, beside C; QEMU has switches for these too. */
const ALWAYS = 'i m a f d g zicsr zifencei zicntr zihintntl zihintpause'.split(' ');

/** Extensions of QEMU's that are not built: saying so is no error. */
const NEVER =
  'e h v zve32f zve64f zve64d zfinx zdinx zhinx zhinxmin zacas zabha zimop zcmop zcmp zcmt zkr zks zksed zksh zkt'.split(
    ' ',
  );

/**
 * The extensions (a mask) of the processor that `text` describes as the option -cpu of qemu-riscv64 does: a model, then
 * switches NAME=on|off (true, yes and y, or false, no and n, as well). Throws CpuModelError.
 */
export function parseCpuModel(text: string): number {
  const [model, ...switches] = text.split(',');
  if (!Object.hasOwn(MODELS, model)) throw new CpuModelError(`unable to find CPU model '${model}'`);
  let extensions = MODELS[model];
  let removed = 0;
  for (const one of switches) {
    const [, name, value] = /^([^=]+)=(.*)$/.exec(one) ?? [];
    if (name === undefined) throw new CpuModelError(`CPU model: expected key=value format, found '${one}'`);
    const on = /^(on|true|yes|y)$/.test(value);
    if (!on && !/^(off|false|no|n)$/.test(value))
      throw new CpuModelError(`CPU model: parameter '${name}' expects 'on' or 'off', not '${value}'`);
    // Some versions of QEMU write a few of them with a capital letter.
    const wanted = name.toLowerCase();
    const extension = EXTENSIONS.find((known) => known.name === wanted);
    if (wanted === 'c') {
      extensions = on ? extensions & ~WITHOUT_C : extensions | WITHOUT_C;
    } else if (Object.hasOwn(GROUPS, wanted)) {
      if (on) {
        extensions |= GROUPS[wanted];
        removed &= ~GROUPS[wanted];
      }
    } else if (extension === undefined) {
      if (!ALWAYS.includes(wanted) && !NEVER.includes(wanted))
        throw new CpuModelError(`CPU model: unknown extension '${name}'`);
      if (on !== ALWAYS.includes(wanted))
        throw new CpuModelError(`CPU model: extension '${name}' cannot be turned ${on ? 'on' : 'off'}`);
    } else if (on) {
      extensions |= extension.bit;
      removed &= ~extension.bit;
    } else {
      // What is made of it goes too.
      removed |= extension.bit;
      for (const { bit, implies } of EXTENSIONS) if (implies & extension.bit) removed |= bit;
    }
  }
  return withImplied(extensions & ~removed);
}

/** What `-cpu help` prints: the models, and the switches with what they are in the default one. */
export function describeCpuModels(): string {
  const list = EXTENSIONS.map(({ name, usual }) => `${name}=${usual ? 'on' : 'off'}`).join(' ');
  return `CPU models:\n  ${Object.keys(MODELS).join('\n  ')}\nSwitches, as ${DEFAULT_CPU} has them:\n  ${list}\n  c=on ${Object.keys(
    GROUPS,
  )
    .map((name) => `${name}=off`)
    .join(' ')}\n`;
}
