#!/usr/bin/env node
// `npm test`: sets up what is missing, runs all tests that this machine can run, and names what it had to skip. Arguments go to vitest.
//
//   CI=true                            whatever is skipped of the system tests is a failure, unless it is the kernel that lacks something
//   PROVISIONER_TEST_INSTALL=never     installs no Debian packages
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import {
  inCi,
  installDebianPackages,
  isDebian,
  isLinux,
  isOnOverlay,
  isRoot,
  repository,
  run,
  runMain,
  runOnTmpfs,
} from './machine.mjs';
import { setUp } from './set-up.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number, skippedByKernel: number, reasons: string[] }} Outcome */

const VITEST = join(repository, 'node_modules', 'vitest', 'vitest.mjs');

const vitestArguments = process.argv.slice(2);

async function main() {
  await setUp();
  await installTestPackages();
  const nativeFree = await runProject('native-free');
  const reason = whyNoSystemTests();
  const system =
    reason === undefined
      ? await runProject('system*')
      : { passed: 0, failed: 0, skipped: 1, skippedByKernel: 0, reasons: [`system tests: ${reason}`] };

  for (const line of [...nativeFree.reasons, ...system.reasons]) console.log(`not run: ${line}`);
  // A filter among the arguments skips whatever it does not choose, which says nothing about the machine.
  const filtered = reason === undefined && vitestArguments.length > 0;
  const incomplete = inCi && !filtered && system.skipped > system.skippedByKernel;
  if (incomplete) console.log('in CI every system test has to run: failed');
  const [passed, failed, skipped] = /** @type {const} */ (['passed', 'failed', 'skipped']).map(
    (key) => nativeFree[key] + system[key],
  );
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed > 0 || incomplete ? 1 : 0;
}

function whyNoSystemTests() {
  if (!isLinux) return `they need Linux, this is ${process.platform}`;
  if (!isRoot) return 'they need root, and you are an ordinary user; try `sudo npm test`';
  return undefined;
}

async function installTestPackages() {
  if (!isDebian || !isRoot || process.env['PROVISIONER_TEST_INSTALL'] === 'never') return;
  if (await installDebianPackages('tests')) return;
  console.log('some Debian packages could not be installed; tests that need them are skipped');
}

/** @param {'native-free' | 'system*'} project a pattern of names @returns {Promise<Outcome>} */
async function runProject(project) {
  const place = mkdtempSync(join(tmpdir(), 'provisioner-test-'));
  const file = join(place, 'report.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const filter = vitestArguments.length > 0 ? ['--passWithNoTests', ...vitestArguments] : [];
  // The other loader writes a file into node_modules, which may be somebody else's.
  const vitest = [
    process.execPath,
    VITEST,
    'run',
    '--configLoader=runner',
    '--project',
    project,
    ...reporters,
    ...filter,
  ];
  try {
    const needsTmpfs = project === 'system*' && isOnOverlay(tmpdir());
    if (needsTmpfs) console.log(`${tmpdir()} is on overlayfs: the system tests run on a tmpfs`);
    const { code } = await (needsTmpfs ? runOnTmpfs(vitest) : run(...split(vitest)));
    return readReport(file, project, code);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** @param {readonly string[]} command @returns {[string, readonly string[]]} */
function split([program = '', ...rest]) {
  return [program, rest];
}

/** @param {string} file @param {string} project @param {number} code @returns {Outcome} */
function readReport(file, project, code) {
  /** @type {Outcome} */
  const outcome = { passed: 0, failed: 0, skipped: 0, skippedByKernel: 0, reasons: [] };
  const reasons = new Set();
  for (const { name, status, assertionResults } of readResults(file)) {
    for (const test of assertionResults) {
      if (test.status === 'passed') outcome.passed += 1;
      else if (test.status === 'failed') outcome.failed += 1;
      else {
        outcome.skipped += 1;
        if (partTitle(test).includes('(skipped: by the kernel: ')) outcome.skippedByKernel += 1;
        if (vitestArguments.length === 0) reasons.add(`${relative(repository, name)}: ${partTitle(test)}`);
      }
    }
    // A file that cannot be loaded has no tests.
    if (status === 'failed' && !assertionResults.some((test) => test.status === 'failed')) outcome.failed += 1;
  }
  if (code !== 0 && outcome.failed === 0) {
    console.log(`${project} tests: vitest ended with exit code ${code}, for a reason outside of any test`);
    outcome.failed += 1;
  }
  return { ...outcome, reasons: [...reasons] };
}

/** @typedef {{ status: string, title: string, ancestorTitles: string[] }} TestResult */

/** @param {string} file @returns {{ name: string, status: string, assertionResults: TestResult[] }[]} */
function readResults(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).testResults;
  } catch {
    return [];
  }
}

/** The group of tests that was skipped as a whole, or else the test. @param {TestResult} test */
function partTitle({ title, ancestorTitles }) {
  return ancestorTitles.find((ancestor) => ancestor.includes('(skipped: ')) ?? [...ancestorTitles, title].join(' › ');
}

await runMain(main);
