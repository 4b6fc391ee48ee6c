import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { interpreterBytes } from '../interpreter/interpreter.js';
import { interpreterFile } from './interpreterModule.js';

/** The build's second step: generates every interpreter a machine may ask for, so that starting one is reading a file. */
for (const hostPageShift of [12, 14, 16]) {
  for (const fused of [false, true]) {
    const file = interpreterFile({ hostPageShift, fused });
    mkdirSync(fileURLToPath(new URL('.', file)), { recursive: true });
    writeFileSync(file, interpreterBytes({ hostPageShift, fused }));
  }
}
