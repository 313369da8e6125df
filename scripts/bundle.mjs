// Makes dist/, which is installed, of the modules in build/: to find, read and compile some hundred of them takes a worker thread longer than to unpack a small
// layer, and a command longer than its work. A thread gets a bundle of its own, since it shares nothing with the one that starts it.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { doorsOf } from './doors.mjs';

const repository = fileURLToPath(new URL('..', import.meta.url));
const { exports } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
const doors = doorsOf(exports);

/** Modules of ours that are loaded when they are needed, by `require` because that waits for nothing, become part of the bundle. */
const ownRequires = {
  name: 'own-requires',
  /** @param {string} code */
  transform(code) {
    const changed = code.replace(/^const require = createRequire\(import\.meta\.url\);$/m, '');
    return changed === code ? undefined : { code: changed };
  },
};

/** @param {Record<string, string>} input modules in build/ by the names of their bundles */
async function bundle(input) {
  const bundled = await rolldown({
    cwd: repository,
    input: Object.fromEntries(Object.entries(input).map(([name, module]) => [name, `build/${module}`])),
    platform: 'node',
    external: /^[^./]/,
    plugins: [ownRequires],
  });
  const { output } = await bundled.write({
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    // All in one directory: what finds a file by its own place finds it from whichever of them it has come to.
    chunkFileNames: `${Object.keys(input)[0]}-[name]-[hash].js`,
  });
  for (const file of output) {
    if (file.type === 'chunk' && /require\(["']\./.test(file.code))
      throw new Error(`${file.fileName} requires a module of ours that is not in it`);
  }
}

/** Leaves of the declarations, which the compiler has written for all modules, those that what can be imported leads to. */
function keepDeclarations() {
  const dist = join(repository, 'dist');
  const kept = new Set(doors.map(({ types }) => join(dist, types)));
  for (const file of kept) {
    for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(
      /(?:\bfrom |\bimport\(|\bimport )['"](\.[^'"]+)\.js['"]/g,
    ))
      kept.add(join(dirname(file), `${path}.d.ts`));
  }
  for (const { name, parentPath } of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    const file = join(parentPath, name);
    if (file.endsWith('.d.ts') && !kept.has(file)) rmSync(file);
  }
}

keepDeclarations();
await bundle({ worker: 'workers/worker.js' });
const modules = Object.fromEntries(doors.map(({ bundle, module }) => [bundle, module]));
await bundle({ ...modules, cli: 'cli/main.js' });
mkdirSync(`${repository}dist/cli`, { recursive: true });
writeFileSync(`${repository}dist/cli/main.js`, "#!/usr/bin/env node\nimport '../cli.js';\n");
chmodSync(`${repository}dist/cli/main.js`, 0o755);
