// @ts-check
/* Programs whose ends are known, and what is done to them. */

/** How a program ended: the parts of an `Exit` that are known before. @typedef {{ code?: number, signal?: number, reason: string }} End */

/**
 * @typedef {object} Program
 * @property {string} title
 * @property {readonly string[]} command
 * @property {import('#src/containerizer/index.js').LaunchOptions} options
 * @property {readonly End[]} ends the one that it comes to by itself; none of what runs until it is ended
 * @property {string} [fails] the code with which its launch fails
 * @property {string} [failsAgain] the code with which it cannot be started again
 * @property {true} [counts] its code is one more with each launch
 * @property {number} [givenUpAfter] milliseconds
 * @property {string} [prints] what its log ends with, once for each launch
 */

const MIB = 2 ** 20;
const SIGKILL = 9;
/** @type {End} */
export const KILLED = { signal: SIGKILL, reason: 'killed' };
/** What a program of `RUNS` ends with when it is asked to. */
const ASKED = 41;
const SIGNALLED = 42;
/** What is run in a container beside its program. */
export const EXECUTED = { command: ['sh', '-c', 'echo out; exit 9'], code: 9, prints: 'out\n' };

const RUNS = `trap "exit ${ASKED}" TERM; trap "exit ${SIGNALLED}" USR1; echo ready; while :; do sleep 0.05; done`;
const STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 0.05; done';

/** @param {string} script */
const sh = (script) => ['sh', '-c', script];
/** @param {number} code @returns {End[]} */
const exits = (code) => [{ code, reason: 'exited' }];
/** @param {string} reason @returns {End[]} */
const killedFor = (reason) => [{ signal: SIGKILL, reason }];

/** @param {import('../../fuzz/random.mjs').Random} random @returns {Program} */
export function programAtRandom(random) {
  const code = random.below(256);
  const chosen = random.below(100);
  if (chosen < 6) {
    const script = `n=0; [ -e /n ] && read n < /n; echo $((n + 1)) > /n; echo last; exit $((${code >> 1} + n))`;
    const ends = exits(code >> 1);
    return { title: 'counts its launches', command: sh(script), options: {}, ends, prints: 'last\n', counts: true };
  }
  if (chosen < 9) {
    const [title, failsAgain] = ['takes its shell away', 'ERR_COMMAND_NOT_FOUND'];
    return { title, command: sh(`rm /bin/sh; exit ${code}`), options: {}, ends: exits(code), failsAgain };
  }
  if (chosen < 18) return { title: 'exits at once', command: sh(`exit ${code}`), options: {}, ends: exits(code) };
  if (chosen < 32) {
    const script = `sleep 0.${random.between(1, 4)}; echo last; exit ${code}`;
    return { title: 'exits later', command: sh(script), options: {}, ends: exits(code), prints: 'last\n' };
  }
  if (chosen < 38) {
    const script = `sleep 60 & (sleep 60 & sleep 60) & exit ${code}`;
    return { title: 'exits before its children', command: sh(script), options: {}, ends: exits(code) };
  }
  if (chosen < 44) {
    const options = { timeout: random.between(50, 400) };
    return { title: 'ends at its time limit', command: sh(STUBBORN), options, ends: killedFor('time-limit') };
  }
  if (chosen < 49) {
    /** @type {Program['options']} */
    const options = { log: { maxBytes: 65_536, whenFull: 'end' } };
    return { title: 'floods its log', command: sh('exec yes'), options, ends: killedFor('log-limit') };
  }
  if (chosen < 53) {
    const options = { log: { maxBytes: 65_536 } };
    const script = `seq 1 30000; echo last; exit ${code}`;
    return { title: 'prints a lot', command: sh(script), options, ends: exits(code), prints: '30000\nlast\n' };
  }
  if (chosen < 58) {
    const options = { limits: { memoryBytes: 32 * MIB } };
    const script = 'exec dd if=/dev/zero of=/dev/null bs=100M';
    return { title: 'takes too much memory', command: sh(script), options, ends: killedFor('oom') };
  }
  if (chosen < 62) {
    return {
      title: 'cannot be started',
      command: ['/nowhere'],
      options: {},
      ends: [],
      fails: 'ERR_COMMAND_NOT_FOUND',
    };
  }
  const runs = { title: 'runs', command: sh(RUNS), options: {}, ends: [] };
  return chosen < 66 ? { ...runs, title: 'is given up', givenUpAfter: random.below(80) } : runs;
}

/**
 * What is done to what runs until it is ended, and the ends that it may come to by that.
 * @satisfies {Record<string, readonly End[]>}
 */
export const ACTS = {
  stop: exits(ASKED),
  'stop without grace': [...exits(ASKED), KILLED],
  signal: exits(SIGNALLED),
  kill: [KILLED],
  destroy: [KILLED],
  'pause and stop': exits(ASKED),
  'pause and kill': [KILLED],
  'pause and destroy': [KILLED],
  'execute and stop': exits(ASKED),
  restart: exits(ASKED),
};
/**
 * What is done to what is held at its gate, instead of letting it go.
 * @satisfies {Record<string, readonly End[]>}
 */
export const ACTS_AT_GATE = { 'stop at the gate': [KILLED], 'destroy at the gate': [KILLED] };
/** @typedef {keyof typeof ACTS} Act */
export const ACT_NAMES = /** @type {Act[]} */ (Object.keys(ACTS));
