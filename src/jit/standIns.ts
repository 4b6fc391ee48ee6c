/** What satisfies the imports of a module of regions as long as nothing of it is run. */
export function standIns(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = standIn(kind, memory);
  }
  return imports;
}

/** More than a machine has regions. */
const TABLE_SIZE = 65536;

function standIn(kind: WebAssembly.ImportExportKind, memory: WebAssembly.Memory): WebAssembly.ImportValue {
  switch (kind) {
    case 'memory':
      return memory;
    case 'table':
      return new WebAssembly.Table({ element: 'anyfunc', initial: TABLE_SIZE });
    case 'global':
      return new WebAssembly.Global({ value: 'i32' }, 0);
    default:
      return () => 0;
  }
}
