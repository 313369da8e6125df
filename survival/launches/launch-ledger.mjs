// @ts-check
/* What all agents so far were told of launches, what was killed of them, and whether the one goes with the other. */
import { EXECUTED, KILLED } from './programs.mjs';

/** @typedef {import('./programs.mjs').End} End */
/** @typedef {import('./victims.mjs').VictimKind} VictimKind */

/**
 * @typedef {object} KnownLaunch
 * @property {string} id of the container; no other launch has had it
 * @property {string} agent
 * @property {string} owner
 * @property {import('./programs.mjs').Program} program
 * @property {boolean} removed with its end
 * @property {'begun' | 'launched' | 'failed' | 'over'} state
 * @property {End[]} ends that it may have come to by what was done to it
 * @property {End[]} told how it ended, each time somebody was told
 * @property {boolean} mayBeGone it was being destroyed
 * @property {boolean} isInherited of an agent that was killed, perhaps while it ended this one
 * @property {Set<VictimKind>} killed what of it
 */

/** The codes of what is done to a launch whose program has ended. */
const ENDED = ['ERR_CONTAINER_NOT_RUNNING', 'ERR_CONTAINER_NOT_FOUND'];
/** What can be known of a launch when its monitor was killed. @type {End} */
const LOST = { reason: 'monitor-lost' };

export class LaunchLedger {
  /** @type {Map<string, KnownLaunch>} */
  launches = new Map();
  /** @type {string[]} */
  faults = [];
  /** @type {Map<string, number>} */
  counts = new Map();
  #recorded = 0;

  /** How many launches were begun. */
  get begun() {
    return this.launches.size;
  }

  /** Notes that something of a launch is about to be killed. @param {string} id @param {VictimKind} kind */
  kill(id, kind) {
    this.#killed(id).add(kind);
    this.#count(`${kind} killed`);
  }

  /** @type {Map<string, Set<VictimKind>>} */
  #kills = new Map();

  /** An agent may not have told of it yet. @param {string} id */
  #killed(id) {
    const killed = this.#kills.get(id) ?? new Set();
    this.#kills.set(id, killed);
    return killed;
  }

  /** @param {readonly import('../crew.mjs').Event[]} events of one agent, in their order @param {{ name: string, owner: string }} agent */
  add(events, agent) {
    for (const event of events) {
      if (event['what'] === 'fault') this.faults.push(event['text']);
      else if (event['what'] === 'begun') this.#begin(event, agent);
      else this.#addOne(event);
    }
  }

  /** @param {import('../crew.mjs').Event} event @param {{ name: string, owner: string }} agent */
  #begin({ id, program, removed }, { name, owner }) {
    const killed = this.#killed(id);
    const nothing = { state: /** @type {const} */ ('begun'), ends: [], told: [], mayBeGone: false, isInherited: false };
    this.launches.set(id, { id, agent: name, owner, program, removed, killed, ...nothing });
    this.#count(`${program.title}`);
  }

  /** @param {import('../crew.mjs').Event} event */
  #addOne(event) {
    const launch = this.launches.get(event['id']);
    if (launch === undefined) {
      this.faults.push(`nobody has begun ${JSON.stringify(event)}`);
      return;
    }
    const { what } = event;
    if (what === 'launched') {
      launch.state = 'launched';
      if (launch.program.fails !== undefined) this.faults.push(`${launch.id} was launched, and cannot be`);
    }
    if (what === 'failed') {
      launch.state = 'failed';
      if (!mayFail(launch, event['code'])) this.#fault(launch, `its launch failed: ${event['text']}`);
    }
    if (what === 'act') {
      launch.ends.push(...event['ends']);
      launch.mayBeGone ||= event['act'].includes('destroy');
      this.#count(event['act']);
    }
    if (what === 'end') launch.told.push(event['exit']);
    if (what === 'missing') {
      const isLost = launch.state === 'launched' && !launch.removed && !launch.mayBeGone;
      if (isLost) this.#fault(launch, 'it is there no more');
      if (launch.state === 'begun') launch.state = 'failed';
    }
    if (what === 'refused' && !mayBeRefused(launch, event)) {
      this.#fault(launch, `${event['act']}: ${event['text']}`);
    }
    if (what === 'printed' && !event['isWhole'] && !launch.killed.has('inside')) {
      this.#fault(launch, `its log ends with ${JSON.stringify(event['end'])}`);
    }
    if (what === 'executed') this.#executed(launch, event);
  }

  /** @param {KnownLaunch} launch @param {import('../crew.mjs').Event} event */
  #executed(launch, { stdout, ended }) {
    const isWhole = ended.code === EXECUTED.code && stdout === EXECUTED.prints;
    // A code of its own it has only when it has come to its end; what it printed may be cut where something was killed.
    const mayBeCut = launch.killed.size > 0 && ended.code !== 0;
    if (!isWhole && !mayBeCut) this.#fault(launch, `executed: ${JSON.stringify({ stdout, ended })}`);
    if (isWhole) this.#count('executed');
  }

  /**
   * Holds all ends against what is known. To be called when the news of all agents have been added.
   * @param {readonly { sequence: number, container: string, details: string }[]} recorded the events of all ends so far
   */
  judge(recorded) {
    const fresh = recorded.filter(({ sequence }) => sequence > this.#recorded);
    for (const { sequence, container, details } of fresh) {
      this.#recorded = Math.max(this.#recorded, sequence);
      const launch = this.launches.get(container);
      if (launch === undefined) this.faults.push(`nobody has begun ${container}, which has ended`);
      else this.#ended(launch, JSON.parse(details));
    }
    for (const launch of this.launches.values()) {
      for (const exit of launch.told.splice(0)) this.#told(launch, exit);
    }
  }

  /** @type {Map<string, string>} */
  #exits = new Map();

  /** @param {KnownLaunch} launch @param {End} exit */
  #ended(launch, exit) {
    if (this.#exits.has(launch.id)) this.#fault(launch, 'its end was recorded twice');
    this.#exits.set(launch.id, knownOf(exit));
    this.#count(`${exit.reason} recorded`);
    if (launch.state !== 'launched' && isUndone(exit)) return;
    if (!possibleEnds(launch).some((end) => isOf(exit, end))) {
      const possible = JSON.stringify(possibleEnds(launch));
      this.#fault(launch, `it ended with ${JSON.stringify(exit)}, and may have with one of ${possible}`);
    }
  }

  /** @param {KnownLaunch} launch @param {End} exit */
  #told(launch, exit) {
    const recorded = this.#exits.get(launch.id);
    if (recorded !== knownOf(exit)) this.#fault(launch, `${knownOf(exit)} was told, and ${recorded} recorded`);
  }

  /** What an agent that was killed leaves to its successor. @param {string} agent @param {readonly string[]} standing @returns {import('./agent.mjs').Job[]} */
  left(agent, standing) {
    return [...this.launches.values()]
      .filter((launch) => launch.agent === agent && (launch.state === 'begun' || launch.state === 'launched'))
      .filter(({ id }) => !this.#exits.has(id) || standing.includes(id))
      .map(({ id, program, removed }) => ({ id, program, removed }));
  }

  /** A successor has them now. @param {readonly { id: string }[]} jobs @param {string} agent */
  handOver(jobs, agent) {
    for (const { id } of jobs) {
      const launch = this.launches.get(id);
      if (launch !== undefined) Object.assign(launch, { agent, isInherited: true });
    }
  }

  /** When nothing runs any more. */
  judgeAtEnd() {
    for (const launch of this.launches.values()) {
      if (launch.state === 'launched' && !this.#exits.has(launch.id)) this.#fault(launch, 'its end was not recorded');
    }
  }

  /** @param {KnownLaunch} launch @param {string} text */
  #fault({ id, program, killed }, text) {
    const of = killed.size === 0 ? '' : ` (killed of it: ${[...killed].join(', ')})`;
    this.faults.push(`${id}, which ${program.title}${of}: ${text}`);
  }

  /** @param {string} what */
  #count(what) {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** @returns {string} */
  get summary() {
    return [...this.counts]
      .sort()
      .map(([what, count]) => `${count} ${what}`)
      .join(', ');
  }
}

/** @param {KnownLaunch} launch @param {string} code */
function mayFail({ program, killed }, code) {
  if (program.fails === code) return true;
  if (program.givenUpAfter !== undefined && code === 'ERR_ABORTED') return true;
  // Where something of it was killed it is not known what it would have been.
  return killed.size > 0 && (code === 'ERR_START_FAILED' || code === 'ERR_COMMAND_NOT_FOUND');
}

/** @param {KnownLaunch} launch @param {import('../crew.mjs').Event} event */
function mayBeRefused({ removed, mayBeGone, isInherited, killed }, { act, code }) {
  if (isInherited && code === 'ERR_CONTAINER_NOT_RUNNING') return true;
  if (killed.size > 0 && ENDED.includes(code)) return true;
  if (act === 'exec' && killed.size > 0) return code === 'ERR_START_FAILED';
  return (removed || mayBeGone) && code === 'ERR_CONTAINER_NOT_FOUND';
}

/** @param {KnownLaunch} launch @returns {End[]} */
function possibleEnds({ program, ends, killed }) {
  const possible = [...program.ends, ...ends];
  if (killed.has('program') || killed.has('starting')) possible.push(KILLED, { ...KILLED, reason: 'oom' });
  if (killed.has('monitor')) possible.push(LOST);
  return possible;
}

/** Whoever launched it died before it was recorded as running: nobody was told that it runs, and the next recovery ends it. @param {End & { startedAt?: number }} exit */
const isUndone = (exit) => exit.startedAt === undefined && (exit.reason === 'start-failed' || isOf(exit, KILLED));

/** @param {End} exit @param {End} end */
const isOf = (exit, end) => exit.code === end.code && exit.signal === end.signal && exit.reason === end.reason;

/** @param {End} exit */
const knownOf = ({ code, signal, reason }) => JSON.stringify({ code, signal, reason });
