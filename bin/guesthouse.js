#!/usr/bin/env node
import module from 'node:module';

// Newer versions of Node keep compiled code between runs.
module.enableCompileCache?.();
const args = process.argv.slice(2);
// The first worker starts while the rest of the code is loaded.
if (args[0] === 'run' && args.length > 1) (await import('../dist/bundle/hostPool.js')).prestartPool();
await (await import('../dist/bundle/main.js')).main(args);
