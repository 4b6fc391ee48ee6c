import { expect, test } from 'vitest';
import { ByteWriter, call, i32, i64, ModuleBuilder } from '../../src/wasm/index.js';

/** Instantiates what `build` puts into a module and returns its export `f`. */
function compile<F>(build: (module: ModuleBuilder) => void, imports: WebAssembly.Imports = {}): F {
  const module = new ModuleBuilder();
  build(module);
  const compiled = new WebAssembly.Module(module.toBytes() as Uint8Array<ArrayBuffer>);
  return new WebAssembly.Instance(compiled, imports).exports.f as F;
}

test.each([
  [0n, [0x00]],
  [63n, [0x3f]],
  [64n, [0xc0, 0x00]],
  [-64n, [0x40]],
  [-65n, [0xbf, 0x7f]],
  [0x8000_0000n, [0x80, 0x80, 0x80, 0x80, 0x08]],
  [-0x8000_0000_0000_0000n, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]],
])('%s as signed LEB128', (value, bytes) => {
  const out = new ByteWriter(1);
  out.signed64(value);
  expect([...out.toBytes()]).toEqual(bytes);
});

test.each([0n, 1n, -1n, 127n, -129n, 2n ** 31n, -(2n ** 31n), 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n])(
  'the i64 constant %s',
  (value) => {
    const f = compile<() => bigint>((module) => {
      const defined = module.function({ params: [], results: ['i64'] });
      defined.builder.return(i64.const(value));
      module.exportFunction('f', defined);
    });
    expect(f()).toBe(value);
  },
);

test('blocks, loops, ifs and tables branch where they say', () => {
  const f = compile<(n: number) => number>((module) => {
    const defined = module.function({ params: ['i32'], results: ['i32'] });
    const b = defined.builder;
    const n = b.param('i32', 0);
    const sum = b.local('i32');
    b.block((end) => {
      b.loop((again) => {
        b.brIf(end, i32.eqz(n));
        b.if(
          i32.and(n, i32.const(1)),
          () => b.set(sum, i32.add(sum, n)),
          () => b.set(sum, i32.sub(sum, i32.const(1))),
        );
        b.set(n, i32.sub(n, i32.const(1)));
        b.br(again);
      });
    });
    const outer = b.openBlock();
    const inner = b.openBlock();
    b.brTable(sum, [inner, outer], outer);
    b.close();
    b.return(i32.const(-1));
    b.close();
    b.return(sum);
    module.exportFunction('f', defined);
  });
  expect([f(0), f(5), f(4)]).toEqual([-1, 9 - 2, 4 - 2]);
});

test('functions call imports and one another, and memory is shared', () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const f = compile<(x: bigint) => bigint>(
    (module) => {
      module.importMemory({ module: 'm', name: 'memory', minimum: 1, maximum: 1, shared: true });
      const twice = module.importFunction('m', 'twice', { params: ['i64'], results: ['i64'] });
      const defined = module.function({ params: ['i64'], results: ['i64'] });
      const later = module.function({ params: ['i64'], results: ['i64'] });
      const b = defined.builder;
      b.store('i64.store', i32.const(4), b.param('i64', 0), 300);
      b.drop(i64.atomic_rmw_add(i32.const(4), i64.const(2), 300));
      b.fence();
      b.memoryCopy(i32.const(512), i32.const(304), i32.const(8));
      b.memoryFill(i32.const(512), i32.const(0), i32.const(1));
      b.return(call(later, 'i64', i64.load(i32.const(0), 512)));
      later.builder.return(call(twice, 'i64', later.builder.param('i64', 0)));
      module.exportFunction('f', defined);
    },
    { m: { memory, twice: (x: bigint) => x * 2n } },
  );
  expect(f(0x1234n)).toBe(0x1200n * 2n);
  expect(new Uint8Array(memory.buffer)[304]).toBe(0x36);
});

test('a block left open is an error', () => {
  const module = new ModuleBuilder();
  module.function({ params: [], results: [] }).builder.openBlock();
  expect(() => module.toBytes()).toThrow('left open');
});

test('branch hints name the branches by their distance from the start of the function', () => {
  const module = new ModuleBuilder();
  const { builder } = module.function({ params: ['i32'], results: ['i32'] });
  const x = builder.param('i32', 0);
  builder.block((end) => {
    builder.set(builder.local('i64'), i64.const(1));
    builder.brIf(end, i32.eqz(x), false);
    builder.if(x, () => builder.return(i32.const(1)), undefined, true);
  });
  builder.return(i32.const(2));
  const bytes = module.toBytes() as Uint8Array<ArrayBuffer>;
  const compiled = new WebAssembly.Module(bytes);
  const [hints] = WebAssembly.Module.customSections(compiled, 'metadata.code.branch_hint');
  // One function, number 0, two hints: offset, length 1, value.
  const [functions, number, count, first, , unlikely, second, , likely] = new Uint8Array(hints);
  expect([functions, number, count, unlikely, likely]).toEqual([1, 0, 2, 0, 1]);
  // The code section ends the module: its function has the size before it, in one byte.
  const size = bytes[bytes.indexOf(1, bytes.lastIndexOf(10)) + 1];
  const body = bytes.subarray(bytes.length - size);
  expect([body[first], body[second]]).toEqual([0x0d, 0x04]);
});
