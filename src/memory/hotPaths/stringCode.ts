import { Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import {
  COPY_DONE,
  COPY_FULL,
  COPY_NEEDS_POINTER,
  COPY_NEEDS_STRING,
  StringCopy,
} from '../../sync/records/stringCopy.js';
import { type FunctionRef, type I64, i32, i64, type ModuleBuilder } from '../../wasm/index.js';
import { machine, one, zero } from './pageCode.js';

/**
 * Writes (mm, copy) → COPY_*: goes on with a StringCopy, whose strings it puts behind each other, each with its NUL, until the pointer that is
 * NULL. In GUEST mode; for host pages of any size.
 */
export function writeStringCode(module: ModuleBuilder): FunctionRef {
  const copyStrings = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = copyStrings.builder;
  const [mm, copy] = [0, 1].map((i) => b.param('i32', i));
  const shift = b.hold(machine(Machine.hostPageShift));
  const page = b.hold(i32.shl(one, shift));
  const readTable = b.hold(i32.load(mm, Mm.readTable));
  const end = b.hold(i32.load(copy, StringCopy.end));
  const string = b.local('i64');
  const to = b.local('i32');
  const address = b.local('i32');
  const left = b.local('i32');
  const byte = b.local('i32');
  const stop = (why: number): void => {
    b.store('i64.store', copy, string, StringCopy.string);
    b.store('i32.store', copy, to, StringCopy.to);
    b.return(i32.const(why));
  };
  /** Sets `address` to the machine address of `va`. */
  const lookUp = (va: I64, why: number): void => {
    b.if(i64.ge_u(va, i64.load(mm, Mm.reach)), () => stop(why));
    const number = i32.wrap_i64(i64.shr_u(va, i64.extend_i32_u(shift)));
    b.set(address, i32.load(i32.add(readTable, i32.shl(number, i32.const(2)))));
    b.if(i32.eqz(address), () => stop(why));
    b.set(address, i32.sub(i32.add(i32.wrap_i64(va), address), one));
  };
  b.set(string, i64.load(copy, StringCopy.string));
  b.set(to, i32.load(copy, StringCopy.to));
  b.loop((again) => {
    b.if(i64.eqz(string), () => {
      lookUp(i64.load(copy, StringCopy.pointers), COPY_NEEDS_POINTER);
      b.set(string, i64.load(address));
      b.if(i64.eqz(string), () => stop(COPY_DONE));
      const next = i64.add(i64.load(copy, StringCopy.pointers), i64.const(8));
      b.store('i64.store', copy, next, StringCopy.pointers);
      b.store('i32.store', copy, i32.add(i32.load(copy, StringCopy.count), one), StringCopy.count);
    });
    lookUp(string, COPY_NEEDS_STRING);
    b.set(left, i32.sub(page, i32.and(address, i32.sub(page, one))));
    b.loop((next) => {
      b.if(i32.eq(to, end), () => stop(COPY_FULL));
      b.set(byte, i32.load8_u(address));
      b.store('i32.store8', to, byte);
      b.set(to, i32.add(to, one));
      b.if(i32.eqz(byte), () => {
        b.set(string, i64.const(0));
        b.br(again);
      });
      b.set(address, i32.add(address, one));
      b.set(string, i64.add(string, i64.const(1)));
      b.set(left, i32.sub(left, one));
      b.brIf(next, left);
    });
    b.br(again);
  });
  b.return(zero);
  return copyStrings;
}
