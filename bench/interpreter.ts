import { Bench } from 'tinybench';
import { EXIT_ECALL } from '../src/sync/records/thread.js';
import type { BareMachine } from '../test/interpreter/bareMachine.js';
import { CODE, DATA, machineWith } from '../test/interpreter/runCode.js';

/**
 * How many million guest instructions the interpreter does in a second, on small loops in the bare harness (one thread,
 * no kernel). Run it with `node dist/bench/interpreter.js [name]`.
 */
const PROGRAMS: Readonly<Record<string, string>> = {
  // Three instructions an iteration, nothing but dispatch.
  sum: `
      li a0, 1000000
    loop:
      add a1, a1, a0
      addi a0, a0, -1
      bnez a0, loop
      ecall`,
  // Bytes: strided stores, one load and branch for each.
  sieve: `
      li s0, 8192
      li a0, ${DATA}
      li t0, 0
    clear:
      add t1, a0, t0
      sb zero, 0(t1)
      addi t0, t0, 1
      bne t0, s0, clear
      li t0, 2
    next:
      add t1, a0, t0
      lbu t2, 0(t1)
      bnez t2, composite
      addi s1, s1, 1
      add t3, t0, t0
      bgeu t3, s0, composite
      li t4, 1
    strike:
      add t1, a0, t3
      sb t4, 0(t1)
      add t3, t3, t0
      bltu t3, s0, strike
    composite:
      addi t0, t0, 1
      bne t0, s0, next
      ecall`,
  // Calls, returns and a stack.
  fib: `
      li sp, ${DATA + 0x4000}
      li a0, 22
      call fib
      ecall
    fib:
      li t0, 2
      blt a0, t0, done
      addi sp, sp, -32
      sd ra, 0(sp)
      sd s0, 8(sp)
      sd s1, 16(sp)
      mv s0, a0
      addi a0, a0, -1
      call fib
      mv s1, a0
      addi a0, s0, -2
      call fib
      add a0, a0, s1
      ld ra, 0(sp)
      ld s0, 8(sp)
      ld s1, 16(sp)
      addi sp, sp, 32
    done:
      ret`,
  memcpy: `
      li s0, 200
    again:
      li a0, ${DATA}
      li a1, ${DATA + 0x2000}
      li a2, ${DATA + 0x2000}
    copy:
      ld t0, 0(a0)
      ld t1, 8(a0)
      ld t2, 16(a0)
      ld t3, 24(a0)
      sd t0, 0(a1)
      sd t1, 8(a1)
      sd t2, 16(a1)
      sd t3, 24(a1)
      addi a0, a0, 32
      addi a1, a1, 32
      bne a0, a2, copy
      addi s0, s0, -1
      bnez s0, again
      ecall`,
  // FNV-like: multiply, shifts, xors.
  hash: `
      li a0, 200000
      li a1, 12345
      li a2, 0x01000193
    loop:
      andi t0, a0, 255
      xor a1, a1, t0
      mul a1, a1, a2
      srli t1, a1, 13
      xor a1, a1, t1
      slli t2, a1, 7
      add a1, a1, t2
      addi a0, a0, -1
      bnez a0, loop
      ecall`,
  // A dependent chain of doubles, with the inexact flag set: the hardfloat path.
  double: `
      li a0, 200000
      csrrwi zero, fflags, 1
      li t0, 3
      fcvt.d.l fa0, t0
      fcvt.d.l fa1, t0
    loop:
      fdiv.d fa2, fa0, fa1
      fadd.d fa0, fa2, fa1
      fmul.d fa3, fa0, fa1
      addi a0, a0, -1
      bnez a0, loop
      ecall`,
};

function runToEnd(machine: BareMachine): void {
  machine.pc = CODE;
  const exit = machine.run();
  if (exit !== EXIT_ECALL) throw new Error(`exit ${exit} at 0x${machine.pc.toString(16)}`);
}

const only = process.argv[2];
const bench = new Bench({ time: 1000, warmupTime: 300 });
const instructions = new Map<string, number>();
for (const [name, source] of Object.entries(PROGRAMS)) {
  if (only !== undefined && only !== name) continue;
  const machine = machineWith(source);
  runToEnd(machine);
  instructions.set(name, machine.instret);
  bench.add(name, () => runToEnd(machine));
}
await bench.run();
for (const { name, result } of bench.tasks) {
  if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
  const mips = instructions.get(name)! / result.latency.p50 / 1e3;
  console.log(`${name.padEnd(8)} ${mips.toFixed(0).padStart(4)} million instructions a second`);
}
