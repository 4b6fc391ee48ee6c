import { describe, expect, it } from 'vitest';
import * as SYS from '../../src/kernel/linux/syscallNumbers.js';
import { linuxSyscalls } from '../../src/kernel/linux/syscallTable.js';
import { traceCall } from '../../src/observe/strace.js';
import { bindContext, createBareMachine, createBareThread, GUEST_MEMORY } from './bareMachine.js';

const AT = GUEST_MEMORY + 0x1000;

describe('--strace', () => {
  const machine = createBareMachine();
  const t = bindContext(machine.mem, createBareThread(machine));
  const line = (number: number, ...args: number[]) =>
    traceCall(t, linuxSyscalls[number]!, [...args, 0, 0, 0, 0, 0, 0]).replace(`${t.tid} `, '');

  it('shows paths, flags and descriptors by name', () => {
    machine.mem.u8.set(new TextEncoder().encode('/etc/"x"\n\0'), AT);
    expect(line(SYS.SYS_openat, -100, AT, 0o2000102, 0o644)).toBe(
      'openat(AT_FDCWD,"/etc/\\"x\\"\\n",O_RDWR|O_CREAT|O_CLOEXEC,0644)',
    );
    expect(line(SYS.SYS_openat, 3, AT, 0, 0)).toContain(',O_RDONLY,');
    expect(line(SYS.SYS_mmap, 0, 8192, 3, 0x22, -1, 0)).toBe(
      'mmap(NULL,8192,PROT_READ|PROT_WRITE,MAP_PRIVATE|MAP_ANONYMOUS,-1,0)',
    );
    expect(line(SYS.SYS_mprotect, AT, 4096, 0)).toBe(`mprotect(0x${AT.toString(16)},4096,PROT_NONE)`);
  });

  it('shows signals, sets, futex operations and times', () => {
    machine.mem.setU32(AT, 0x4002);
    machine.mem.setU32(AT + 4, 1);
    expect(line(SYS.SYS_rt_sigprocmask, 0, AT, 0, 8)).toBe('rt_sigprocmask(0,[INT TERM RT_1],NULL,8)');
    machine.mem.set64(AT, -1 - 256);
    expect(line(SYS.SYS_rt_sigprocmask, 0, AT, 0, 8)).toContain('~[KILL]');
    expect(line(SYS.SYS_kill, 77, 9)).toBe('kill(77,SIGKILL)');
    expect(line(SYS.SYS_futex, 0x1000, 128 + 1, 3)).toBe('futex(0x1000,FUTEX_WAKE_PRIVATE,3,NULL,NULL,0)');
    machine.mem.set64(AT, 2);
    machine.mem.set64(AT + 8, 5);
    expect(line(SYS.SYS_nanosleep, AT, 0)).toBe('nanosleep({tv_sec = 2,tv_nsec = 5},NULL)');
  });

  it('shows what cannot be read as the pointer that it is', () => {
    expect(line(SYS.SYS_openat, -100, 0x10, 0, 0)).toContain('(AT_FDCWD,0x10,');
    expect(line(SYS.SYS_openat, -100, -8, 0, 0)).toContain(',0xfffffffffffffff8,');
  });
});
