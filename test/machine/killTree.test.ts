import { join } from 'node:path';
import { createMachine, type Machine } from 'guesthouse';
import { describe, expect, it, vi } from 'vitest';
import { compileGuest, crossCompiler, guestFlags } from '../../bench/compileGuest.js';
import { repository } from '../../bench/hostProgram.js';
import { MACHINE, Machine as MachineRecord } from '../../src/sync/records/machine.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

vi.setConfig({ testTimeout: 60_000 });

/** Guests of the machine, zombies that nobody has reaped yet included. */
function guestsOf(machine: Machine): number {
  const mem = Reflect.get(machine, 'mem') as SharedMemory;
  return mem.getI32(MACHINE + MachineRecord.guestCount);
}

/** Starts the family, and waits until all of it is there. */
async function start(machine: Machine, args: string[]) {
  const program = compileGuest(join(repository, 'test/machine/tree.c'), guestFlags);
  let said = '';
  let tell = (): void => {};
  const ready = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const guest = await machine.spawn(program, {
    args,
    stdout: (bytes) => {
      said += new TextDecoder().decode(bytes);
      if (said.includes('ready\n')) tell();
    },
  });
  await ready;
  return guest;
}

describe('the processes that a guest has started (needs riscv64-linux-gnu-gcc)', () => {
  it.skipIf(crossCompiler === undefined)('end with killTree, and nobody else does', async () => {
    const machine = await createMachine();
    try {
      const other = await start(machine, []);
      const others = guestsOf(machine);
      const guest = await start(machine, []);
      expect(guestsOf(machine)).toBeGreaterThan(others);
      await guest.killTree();
      expect(await guest.exited).toMatchObject({ code: null, signal: 'SIGKILL' });
      await expect.poll(() => guestsOf(machine), { timeout: 20_000 }).toBe(others);
      await other.killTree();
      await expect.poll(() => guestsOf(machine), { timeout: 20_000 }).toBe(0);
    } finally {
      await machine.close();
    }
  });

  it.skipIf(crossCompiler === undefined)('end with killTree after the guest itself has ended', async () => {
    const machine = await createMachine();
    try {
      const guest = await start(machine, ['leave']);
      expect(await guest.exited).toMatchObject({ code: 0 });
      expect(guestsOf(machine)).toBeGreaterThan(0);
      await guest.killTree();
      await expect.poll(() => guestsOf(machine), { timeout: 20_000 }).toBe(0);
      await guest.killTree();
    } finally {
      await machine.close();
    }
  });
});
