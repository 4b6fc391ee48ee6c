import type { TemplateTable } from './templateTable.js';

/** Templates of the first tier that were made when Guesthouse was built: none, but in the bundles (build/bundlePlugins.ts). */
export const keptTemplates = (): TemplateTable | undefined => undefined;
