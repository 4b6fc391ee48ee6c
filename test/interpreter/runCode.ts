import { INTEGER_REGISTERS } from '../../src/isa/disassembler.js';
import { assemble } from '../isa/assembler.js';
import { BareMachine, type BareOptions } from './bareMachine.js';

/** Where test programs stand, and their data. */
export const CODE = 0x10000;
export const DATA = 0x40000;

/** A machine with `source` assembled at CODE (two pages, executable) and four writable pages at DATA. */
export function machineWith(source: string, options?: BareOptions): BareMachine {
  const machine = new BareMachine(options);
  machine.map(CODE, 0x2000, 'rx');
  machine.map(DATA, 0x4000);
  machine.write(CODE, assemble(source, CODE).bytes);
  machine.pc = CODE;
  return machine;
}

/** The register with this ABI name, as an unsigned BigInt. */
export function register(machine: BareMachine, name: string): bigint {
  return machine.x(INTEGER_REGISTERS.indexOf(name));
}
