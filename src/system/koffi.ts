import { createRequire } from 'node:module';

/** koffi calls C functions. Required, not imported: an import in a module that is itself loaded only when needed would be loaded with the first file of a bundle. */
export const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
