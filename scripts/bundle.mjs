// Makes dist/, which is installed, of the modules in build/: to find, read and compile some hundred of them takes a worker thread longer than to unpack a small
// layer, and a command longer than its work. A thread gets a bundle of its own, since it shares nothing with the one that starts it; and so does the command line, of CommonJS modules, which
// Node finds and reads faster than ES modules: waiting for files is all that a short command does.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { IMPORT } from '../build/cli/start/compiled-code.js';
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

/** Of what is not ours, all is found where it is installed. */
const NOT_OURS = /^[^./]/;

/** @param {Record<string, string>} input modules in build/ by the names of their bundles @param {RegExp} external @param {import('rolldown').Plugin[]} plugins */
const toBundle = (input, external, plugins = []) =>
  rolldown({
    cwd: repository,
    input: Object.fromEntries(Object.entries(input).map(([name, module]) => [name, `build/${module}`])),
    platform: 'node',
    external,
    plugins: [ownRequires, ...plugins],
    // A module that one place loads late and another at once: it comes with the latter, and the former finds it.
    onLog: (level, log, tell) => log.code === 'INEFFECTIVE_DYNAMIC_IMPORT' || tell(level, log),
  });

/** All in one directory: what finds a file by its own place finds it from whichever of them it has come to. @param {string} name of the first bundle @param {string} extension */
const filesOf = (name, extension) => ({
  dir: 'dist',
  entryFileNames: `[name].${extension}`,
  chunkFileNames: `${name}-[name]-[hash].${extension}`,
});

/** @param {Record<string, string>} input as of `toBundle` */
async function bundle(input) {
  const bundled = await toBundle(input, NOT_OURS);
  const { output } = await bundled.write({ ...filesOf(Object.keys(input)[0], 'js'), format: 'esm' });
  for (const file of output) {
    if (file.type === 'chunk' && /require\(["']\./.test(file.code))
      throw new Error(`${file.fileName} requires a module of ours that is not in it`);
  }
}

/**
 * Modules that begin a file of the command line, by its name, each with all that it is loaded with; what two of them need is in the first. To find and open a file takes as long as to read some thousand lines, and
 * lines that are not needed take their time too: so what is needed together is together.
 */
const FILES = {
  start: ['cli/main.js'],
  // What opens a store, the records of most, and the commands that are called most.
  store: [
    'cli/session.js',
    'metadata/sqlite/sqlite-metadata-manager.js',
    'cli/commands/images/images.js',
    'cli/commands/containers/ps.js',
  ],
  provisioning: ['containers/containers.js', 'backends/make-backends.js', 'pulls/image-requests.js'],
  commands: [
    ...['run', 'exec', 'create', 'start', 'restart', 'stop', 'kill', 'wait'].map(
      (name) => `cli/commands/running/${name}.js`,
    ),
    ...['logs', 'stats', 'events', 'top'].map((name) => `cli/commands/watching/${name}.js`),
    ...['provision', 'destroy', 'recover'].map((name) => `cli/commands/containers/${name}.js`),
    'cli/commands/images/pull.js',
  ],
  // What runs containers needs as others do. What it alone needs is where the bundler leaves it: in a file that is named here it would begin with native code, which need not be there for what says so.
  common: ['containerizer/index.js'],
};
/** Of these a file has what is loaded with its modules, and not themselves. */
const WITHOUT_THEMSELVES = ['common'];

/** The parser of command lines loads what starts programs, for commands that are programs of their own. We have none, and to load it takes a tenth of the time of `--help`. */
const noPrograms = {
  name: 'no-programs',
  /** @param {string} id @param {string | undefined} importer */
  resolveId: (id, importer) =>
    id === 'node:child_process' && /node_modules\/commander\//.test(importer ?? '') ? '\0no-programs' : undefined,
  /** @param {string} id */
  load: (id) => (id === '\0no-programs' ? 'export const spawn = undefined;' : undefined),
};

/** Compiled code that was kept cannot import anything: whoever loads it does so. */
const importsByLoader = {
  name: 'imports-by-loader',
  /** @param {string} code */
  renderChunk: (code) => ({ code: code.replace(/(?<![.\w])import\(/g, `${IMPORT}(`) }),
};

/**
 * @param {import('rolldown').RolldownOutput['output']} output of a bundle @param {string} module in build/, at which a chunk begins @param {boolean} isWhole with the modules of that chunk
 * @returns all modules that are loaded with it
 */
function modulesWith(output, module, isWhole) {
  const chunks = output.filter((file) => file.type === 'chunk');
  const found = chunks.filter(({ moduleIds }) => moduleIds.some((id) => id.endsWith(`/build/${module}`)));
  if (found.length === 0) throw new Error(`there is no module ${module} in the bundle`);
  for (const { imports } of found) {
    for (const chunk of chunks) if (imports.includes(chunk.fileName) && !found.includes(chunk)) found.push(chunk);
  }
  return new Set(found.slice(isWhole ? 0 : 1).flatMap(({ moduleIds }) => moduleIds));
}

/**
 * The command line. What none of its files has, and several commands share, is in one more. Small packages become part of it; those with native code, and those that few commands need, are found where they
 * are installed.
 */
async function bundleCommandLine() {
  const input = { cli: 'cli/main.js' };
  const external = /^(?:node:(?!child_process)|better-sqlite3|koffi|undici|tar|fs-extra|fzstd|provisioner)/;
  const bundled = await toBundle(input, external, [noPrograms, importsByLoader]);
  const { output } = await bundled.generate({ format: 'cjs' });
  const files = Object.entries(FILES).map(([name, modules], at) => {
    const isWhole = !WITHOUT_THEMSELVES.includes(name);
    const needed = new Set(modules.flatMap((module) => [...modulesWith(output, module, isWhole)]));
    return { name, priority: 10 - at, test: (/** @type {string} */ id) => needed.has(id) };
  });
  // What runs containers is in no file that others need, since it begins with native code.
  const isForOthers = (/** @type {string} */ id) => !id.includes('/build/containerizer/');
  const groups = [...files, { name: 'shared', priority: 1, minShareCount: 2, test: isForOthers }];
  const comments = { jsdoc: false };
  await bundled.write({ ...filesOf('cli', 'cjs'), format: 'cjs', comments, codeSplitting: { groups } });
}

/**
 * What is called by its name. Node takes options of its own out of the words behind the script too (`--env-file`, in 20 and 22), unless `--` stands before it: a shell puts it there, and what it reads is a text
 * and a comment to Node.
 */
async function writeStart() {
  const bundled = await toBundle({ start: 'cli/start/start.js' }, NOT_OURS);
  const { output } = await bundled.generate({ format: 'cjs', comments: { jsdoc: false } });
  const directory = join(repository, 'dist/cli');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'package.json'), '{ "type": "commonjs" }\n');
  const main = join(directory, 'main.js');
  const call = "exports.start(require('node:path').dirname(__dirname), 'cli.cjs');";
  writeFileSync(main, `#!/bin/sh\n':' //; exec node -- "$0" "$@"\n${output[0].code}\n${call}\n`);
  chmodSync(main, 0o755);
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
await bundle(modules);
await bundleCommandLine();
await writeStart();
// The threads of the tests run what is installed, too: nothing of the modules in build/ is shared with them, and each of thousands of them is there sooner.
writeFileSync(join(repository, 'build/workers/worker.js'), "import '../../dist/worker.js';\n");
rmSync(join(repository, 'build/workers/worker.js.map'), { force: true });
