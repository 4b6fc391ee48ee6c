import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Case } from './cases.js';
import { guestEsbuild } from './demo/guestProgram.js';
import { nativeEsbuild } from './demo/nativeEsbuild.js';
import { writeProject } from './demo/writeProject.js';
import { findCommand, qemu, repository } from './hostProgram.js';
import type { ReadyCase } from './wholeRuns.js';

/** Real programs, as far as they can be had: what cannot be is said in one line each. */

export type Found = ReadyCase | { readonly name: string; readonly missing: string };

const real = (name: string): Case => ({ name, part: 'real', source: '', args: [], measure: 'process' });

const MODULES = 400;

async function bundling(folder: string): Promise<Found> {
  const name = `esbuild bundles ${MODULES} modules`;
  let program: string;
  try {
    program = (await guestEsbuild(repository, join(repository, '.cache/demo'), () => {})).path;
  } catch (error) {
    return { name, missing: `esbuild for riscv64 can't be had: ${(error as Error).message.split('\n')[0]}` };
  }
  const project = join(folder, 'project');
  mkdirSync(project);
  writeProject(project, MODULES);
  const args = (out: string): string[] => [
    'src/main.tsx',
    '--bundle',
    '--minify',
    '--sourcemap',
    '--format=esm',
    '--log-level=warning',
    `--outdir=${out}`,
  ];
  const own = nativeEsbuild();
  return {
    case: real(name),
    invocations: {
      guesthouse: { options: ['--dir', project], program, args: args('out/guesthouse') },
      qemu: { options: [], program, args: args('out/qemu') },
      native: { options: own.before, program: own.file, args: args('out/native') },
    },
    settings: { timeout: 300_000, cwd: project },
    comparesOutput: true,
  };
}

/** What is done with programs of a root of Debian's riscv64 packages (test/guests/build-debian-root.sh). */
const LOOPS = {
  'lua5.4': [
    '-e',
    'local t = {} for i = 1, 3e6 do t[i % 1000] = (t[(i * 7) % 1000] or 0) + i end print(t[1]) ' +
      'local s = {} for i = 1, 2e5 do s[#s + 1] = tostring(i) end print(#table.concat(s))',
  ],
  'python3.13': [
    '-c',
    'd = {}\nfor i in range(1000000):\n k = (i * 7) % 1000\n d[k] = d.get(k, 0) + i\nprint(d[1])\n' +
      'print(len("".join(str(i) for i in range(200000))))',
  ],
  perl: [
    '-e',
    'my %h; for my $i (1 .. 1500000) { $h{$i * 7 % 1000} += $i } print "$h{1}\\n"; ' +
      'print length(join "", 1 .. 300000), "\\n"',
  ],
} as const;

function ofRoot(root: string, folder: string): Found[] {
  const text = Array.from(
    { length: 80_000 },
    (_, i) => `${i} ${(Math.imul(i, 2654435761) >>> 7) % 1000} line\n`,
  );
  const input = join(folder, 'input');
  writeFileSync(input, text.join(''));
  const run = (name: string, program: string, args: readonly string[]): Found => {
    const path = join(root, 'usr/bin', program);
    if (!existsSync(path)) return { name, missing: `${program} is not in ${root}` };
    const own = findCommand(program);
    return {
      case: real(name),
      invocations: {
        guesthouse: {
          options: ['-L', root, '--dir', `${folder}:/scratch`, '-C', '/scratch'],
          program: path,
          args,
        },
        qemu: { options: ['-L', root], program: path, args },
        ...(own !== undefined && { native: { options: [], program: own, args } }),
      },
      settings: { timeout: 300_000, cwd: folder },
      // Compressors of other versions make other bytes.
      comparesOutput: true,
    };
  };
  /** A shell that starts a thousand processes. qemu-user is started by name for each: it has no other way to execute a program. */
  const loop = (shell: string, ...before: string[]): Found => {
    const name = `${shell} starts 1,000 processes`;
    const path = join(root, 'usr/bin', shell);
    if (!existsSync(path)) return { name, missing: `${shell} is not in ${root}` };
    const args = (program: string): string[] => [
      ...before,
      '-c',
      `i=0; while [ $i -lt 1000 ]; do ${program}; i=$((i+1)); done; echo $i`,
    ];
    const own = findCommand(shell);
    return {
      case: real(name),
      invocations: {
        guesthouse: { options: ['-L', root], program: path, args: args('/usr/bin/true') },
        ...(qemu !== undefined && {
          qemu: {
            options: ['-L', root],
            program: path,
            args: args(`${qemu} -L ${root} ${join(root, 'usr/bin/true')}`),
          },
        }),
        ...(own !== undefined && { native: { options: [], program: own, args: args('/bin/true') } }),
      },
      settings: { timeout: 300_000, cwd: folder },
      comparesOutput: true,
    };
  };
  return [
    loop('bash'),
    loop('busybox', 'ash'),
    run('zstd -9', 'zstd', ['-9', '-c', '-q', '-T1', 'input']),
    run('xz -6', 'xz', ['-6', '-c', '-T1', 'input']),
    ...Object.entries(LOOPS).map(([program, args]) => run(program, program, args)),
  ];
}

/** All real programs; files they need are made in `folder`. `root`: Debian's riscv64 packages, unpacked. */
export async function realPrograms(folder: string, root: string): Promise<Found[]> {
  const found = [await bundling(folder)];
  if (!existsSync(join(root, 'usr/bin')))
    return [...found, { name: 'zstd, xz, lua, python, perl', missing: `${root} is not there (--root)` }];
  return [...found, ...ofRoot(root, folder)];
}
