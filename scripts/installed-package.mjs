// What of this package is published, and an empty project in which that is installed.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository, run, Told, tail } from './machine.mjs';

const NPM = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const BINARY = 'node_modules/better-sqlite3/build/Release/better_sqlite3.node';

/**
 * @param {string} place a directory, which gets the tarball
 * @returns {Promise<{ tarball: string, files: string[] }>} `files` by their paths in the package
 */
export async function pack(place) {
  const printed = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', place], repository);
  // An array in some releases of npm, an object by names in others.
  const [packed] = Object.values(JSON.parse(printed));
  return {
    tarball: join(place, packed.filename),
    files: packed.files.map((/** @type {{ path: string }} */ { path }) => path),
  };
}

/**
 * Without scripts, so that nothing is compiled: better-sqlite3 is there, and its machine code is not.
 * @param {string} tarball
 * @param {string} project a directory, which is made
 */
export async function install(tarball, project) {
  mkdirSync(project, { recursive: true });
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  await npm(['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball], project);
}

/** Gives an installation the machine code of better-sqlite3 that this checkout has, compiled for the Node.js that installed it. @param {string} project */
export function addMachineCode(project) {
  mkdirSync(join(project, BINARY, '..'), { recursive: true });
  copyFileSync(join(repository, BINARY), join(project, BINARY));
}

/** @param {readonly string[]} args @param {string} directory @returns {Promise<string>} what it printed @throws Told */
export async function npm(args, directory) {
  const { code, output, printed } = await run(NPM, args, { quiet: true, directory });
  if (code !== 0) throw new Told(`${tail(output)}\n\`npm ${args.join(' ')}\` failed`);
  return printed;
}
