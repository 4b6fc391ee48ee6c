import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { qemu, repository, runGuest, runQemu } from '../../bench/hostProgram.js';
import { CpuModelError, createMachine, type Machine } from '../../src/index.js';

/** Programs compiled for the bit-manipulation extensions, on processors that have them and on others. */
describe.skipIf(crossCompiler === undefined)('the processor (needs riscv64-linux-gnu-gcc)', () => {
  const source = join(repository, 'test/programs/processor.c');
  const build = (march: string) =>
    crossCompiler === undefined ? '' : compileGuest(source, ['-O2', '-static', `-march=${march}`]);
  const plain = build('rv64gc');
  const program = build('rv64gc_zba_zbb_zbs');

  it.each(['off', 'threshold=100'])('computes the same with and without them, --jit=%s', async (jit) => {
    const expected = await runGuest(['--jit=off'], plain, []);
    expect(expected).toMatchObject({ code: 0, stderr: '' });
    expect(await runGuest([`--jit=${jit}`], program, [])).toMatchObject({ stdout: expected.stdout, code: 0 });
    if (qemu !== undefined) expect((await runQemu(program, [])).stdout).toBe(expected.stdout);
  });

  it('shows its extensions to the program', async () => {
    const { stdout } = await runGuest([], program, ['show']);
    expect(stdout).toContain('hwprobe 0 base 1 extensions 3852811200000fb block 64 unknown -1 0\n');
    expect(stdout).toContain('hwcap 112d\n');
    expect(stdout).toMatch(/^isa\t\t: rv64imafdc_zicbom_.*_zba_zbb_zbc_zbs$/m);
    const max = await runGuest(['-cpu', 'max'], program, ['show']);
    expect(max.stdout).toMatch(
      /^isa\t\t: rv64imafdc_.*_zicond_.*_zfh_zfhmin_zcb_zba_zbb_zbc_zbkb_zbkc_zbkx_zbs_zknd_zkne_zknh$/m,
    );
    const cryptography = await runGuest(['-cpu', 'rv64,zk=on,zknh=off'], program, ['show']);
    expect(cryptography.stdout).toMatch(/_zbc_zbkb_zbkc_zbkx_zbs_zknd_zkne$/m);
    expect(cryptography.stdout).toContain('extensions 385281120001ffb ');
    const none = await runGuest(['-cpu', 'rv64,zba=off,zbb=no,zbs=false,zicboz=n'], plain, ['show']);
    expect(none.stdout).toContain('extensions 385281120000083 ');
    expect(none.stdout).toContain('block 0');
    expect(none.stdout).not.toMatch(/zba|zbb|zbs|zicboz/);
  });

  it('says which extension an illegal instruction needs', async () => {
    const { code, stderr } = await runGuest(['-cpu', 'rv64,zbb=off'], program, []);
    expect(code).toBe(128 + 4);
    expect(stderr).toMatch(
      /died of SIGILL: illegal instruction\n.*: [0-9a-f]{8} {2}\w+ .* \(needs zbb: see option -cpu\)\n/,
    );
  });

  it('refuses a processor that there is not, in one line', async () => {
    for (const [model, message] of [
      ['pdp11', "unable to find CPU model 'pdp11'"],
      ['rv64,zqq=on', "CPU model: unknown extension 'zqq'"],
      ['rv64,zba', "CPU model: expected key=value format, found 'zba'"],
      ['rv64,zba=perhaps', "CPU model: parameter 'zba' expects 'on' or 'off', not 'perhaps'"],
      ['rv64,v=on', "CPU model: extension 'v' cannot be turned on"],
      ['rv64,m=off', "CPU model: extension 'm' cannot be turned off"],
      ['rv64,zkr=on', "CPU model: extension 'zkr' cannot be turned on"],
    ])
      expect(await runGuest(['-cpu', model], plain, [])).toMatchObject({
        code: 1,
        stdout: '',
        stderr: `guesthouse: ${message}\n`,
      });
  });

  describe('in one machine', () => {
    let machine: Machine | undefined;
    afterAll(() => machine?.close());

    it('is each guest own, though they share the code', async () => {
      machine = await createMachine({ jit: { threshold: 100 } });
      const made = machine;
      const run = async (cpu?: string) => {
        const guest = await made.spawn(program, { ...(cpu !== undefined && { cpu }) });
        const { code, signal } = await guest.exited;
        return code ?? signal;
      };
      await expect(made.spawn(program, { cpu: 'pdp11' })).rejects.toBeInstanceOf(CpuModelError);
      expect(await run()).toBe(0);
      expect(await run('rv64,zbb=off')).toBe('SIGILL');
      expect(await run('max')).toBe(0);
      expect(await run('rv64,zba=off')).toBe('SIGILL');
      expect(await run()).toBe(0);
    });
  });
});
