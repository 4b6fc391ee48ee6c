import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createMachine } from 'guesthouse';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository } from '../../bench/hostProgram.js';

import { audit } from '../../src/memory/auditor.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

const libc = join(repository, 'test/guests/libc');

describe('a machine in which hundreds of processes have run (needs riscv64-linux-gnu-gcc)', () => {
  it.skipIf(crossCompiler === undefined)('has everything back', async () => {
    const program = compileGuest(join(libc, 'processes.c'), ['-O2', '-pthread', '-static', '-lm']);
    const expected = readFileSync(join(libc, 'expected/processes.txt'), 'latin1');
    const machine = await createMachine();
    try {
      const kernel: number[] = [];
      for (let i = 0; i < 2; i++) {
        const guest = await machine.spawn(program, { stdout: 'pipe' });
        expect(await text(guest.stdout as never)).toBe(expected);
        expect(await guest.exited).toMatchObject({ code: 0 });
        // Orphans may still be on their way out when the guest's end is told.
        const mem = Reflect.get(machine, 'mem') as SharedMemory;
        await expect.poll(() => audit(mem, []), { timeout: 5000 }).toEqual([]);
        kernel.push(machine.memory().kernel);
      }
      await expect.poll(() => machine.memory().kernel).toBeLessThanOrEqual(kernel[0] + 65536);
    } finally {
      await machine.close();
    }
  });
});
