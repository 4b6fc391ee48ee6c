import type { MutexCode } from '../../sync/mutexCode.js';
import { Mapping } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { call, type FunctionRef, i32, type ModuleBuilder } from '../../wasm/index.js';
import { ACCESS_FETCH, ACCESS_WRITE } from '../caller.js';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../linuxMemory.js';
import { PTE_PRESENT, PTE_WRITE } from '../pageTables.js';
import { deltaOf, readBits } from './mapCode.js';
import {
  addressOf,
  countOf,
  entryOf,
  lockOfPage,
  one,
  type PageCode,
  pagesInReach,
  zero,
} from './pageCode.js';

/** Looks at a tree that is being changed before the fault is left to faults.ts, which sleeps. */
const SEQUENCE_SPINS = 2000;
/** Deeper than any tree is, but while it is being changed. */
const MOST_STEPS = 200;

/**
 * Writes the fault of a page of private anonymous memory that is not there yet, where its home frame is free: (mm, thread,
 * page, access) → 1, or 0: not done, nothing changed. What other threads may do meanwhile: see faults.ts. Pages have 4 KiB.
 */
export function writeFaultCode(module: ModuleBuilder, mutex: MutexCode, page: PageCode): FunctionRef {
  const fault = module.function({ params: ['i32', 'i32', 'i32', 'i32'], results: ['i32'] });
  const b = fault.builder;
  const [mm, thread, vpn, access] = [0, 1, 2, 3].map((i) => b.param('i32', i));
  const sequence = b.local('i32');
  const spins = b.local('i32');
  const steps = b.local('i32');
  const at = b.local('i32');
  const prot = b.local('i32');
  const object = b.local('i32');
  const frame = b.local('i32');
  const delta = b.local('i32');
  const lock = b.local('i32');
  b.if(i32.eq(access, i32.const(ACCESS_FETCH)), () => b.return(zero));
  b.if(i32.ge_u(vpn, pagesInReach(mm)), () => b.return(zero));
  b.set(lock, lockOfPage(mm, vpn));
  b.call(mutex.lock, lock, thread);
  b.block((slow) => {
    b.brIf(slow, i32.load(entryOf(mm, Mm.pageTable, vpn)));
    // The mapping, as snapshotMapping reads it.
    b.block((found) => {
      b.loop((again) => {
        b.set(spins, i32.add(spins, one));
        b.brIf(slow, i32.gt_u(spins, i32.const(SEQUENCE_SPINS)));
        b.set(sequence, i32.atomic_load(mm, Mm.mappingsSequence));
        b.brIf(again, i32.and(sequence, one));
        b.set(steps, zero);
        b.set(at, i32.load(mm, Mm.mappingsRoot));
        b.block((end) => {
          b.loop((down) => {
            b.brIf(end, i32.eqz(at));
            b.set(steps, i32.add(steps, one));
            b.brIf(again, i32.gt_u(steps, i32.const(MOST_STEPS)));
            b.if(
              i32.gt_u(i32.load(at, Mapping.end), vpn),
              () => {
                b.brIf(end, i32.le_u(i32.load(at, Mapping.start), vpn));
                b.set(at, i32.load(at, Mapping.left));
              },
              () => b.set(at, i32.load(at, Mapping.right)),
            );
            b.br(down);
          });
        });
        b.set(prot, zero);
        b.if(at, () => {
          b.set(prot, i32.load(at, Mapping.prot));
          b.set(object, i32.load(at, Mapping.object));
        });
        b.brIf(found, i32.eq(i32.atomic_load(mm, Mm.mappingsSequence), sequence));
        b.br(again);
      });
    });
    b.brIf(slow, i32.eqz(at));
    b.brIf(slow, object);
    b.brIf(slow, i32.and(prot, i32.const(PROT_EXEC)));
    b.if(
      i32.eq(access, i32.const(ACCESS_WRITE)),
      () => b.brIf(slow, i32.eqz(i32.and(prot, i32.const(PROT_WRITE)))),
      () => b.brIf(slow, i32.eqz(i32.and(prot, i32.const(PROT_READ | PROT_WRITE)))),
    );
    b.set(frame, call(page.takeHomeFrame, 'i32', mm, vpn));
    b.brIf(slow, i32.lt_s(frame, zero));
    b.memoryFill(addressOf(frame), zero, i32.const(4096));
    const entry = i32.or(i32.shl(frame, i32.const(12)), i32.or(readBits(prot), i32.const(PTE_PRESENT)));
    b.store('i32.store', entryOf(mm, Mm.pageTable, vpn), entry);
    b.store('i32.store', countOf(mm, vpn), i32.add(i32.load(countOf(mm, vpn)), one));
    b.set(delta, deltaOf(frame, vpn));
    b.store('i32.atomic.store', entryOf(mm, Mm.readTable, vpn), delta);
    b.if(i32.and(prot, i32.const(PROT_WRITE)), () => {
      const master = entryOf(mm, Mm.pageTable, vpn);
      b.store('i32.store', master, i32.or(i32.load(master), i32.const(PTE_WRITE)));
      b.store('i32.atomic.store', entryOf(mm, Mm.writeTable, vpn), delta);
    });
    b.drop(i32.atomic_rmw_add(mm, one, Mm.residentPages));
    b.drop(i32.atomic_rmw_add(mm, one, Mm.framesHeld));
    b.call(mutex.unlock, lock);
    b.return(one);
  });
  b.call(mutex.unlock, lock);
  b.return(zero);
  return fault;
}
