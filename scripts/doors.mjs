import { basename } from 'node:path';

/** @typedef {{ readonly types: string, readonly default: string }} Door */

/**
 * What of the package can be imported, as `exports` in package.json has it: the library, and each wing by its name. A wing has one row there, and nothing else has to
 * know of it.
 *
 * @param {Readonly<Record<string, string | Door>>} exports
 * @returns {{ readonly name: string, readonly bundle: string, readonly module: string, readonly types: string }[]} by the name that is imported: what its bundle is called, its
 *   module below `build/` and its types below `dist/`
 */
export function doorsOf(exports) {
  return Object.entries(exports).flatMap(([name, door]) => {
    if (typeof door === 'string') return [];
    const types = door.types.replace(/^\.\/dist\//, '');
    return [{ name, bundle: basename(door.default, '.js'), module: types.replace(/\.d\.ts$/, '.js'), types }];
  });
}
