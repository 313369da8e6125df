// @ts-check
/* What all agents so far were told of containers and their launches, what was killed of them, and whether the one goes with the other. */
import { EXECUTED, KILLED } from './programs.mjs';

/** @typedef {import('./programs.mjs').End} End */
/** @typedef {import('./victims.mjs').VictimKind} VictimKind */

/**
 * @typedef {object} KnownContainer
 * @property {string} id no other container has had it
 * @property {string} agent
 * @property {string} owner
 * @property {import('./programs.mjs').Program} program
 * @property {boolean} removed with its end
 * @property {'begun' | 'launched' | 'failed'} state of its first launch, by what was told
 * @property {number} asked launches that somebody may have begun
 * @property {boolean} mayBeGone it was being destroyed
 * @property {boolean} isInherited of an agent that was killed, perhaps while it ended this one
 * @property {Set<VictimKind>} killed what of it, in whichever launch
 * @property {Map<string, KnownLaunch>} launches by their ids, in the order in which they became known
 */

/**
 * @typedef {object} KnownLaunch
 * @property {boolean} isTold somebody was told that it runs, or is held at its gate
 * @property {End[]} ends that it may have come to by what was done to it
 * @property {End[]} told how it ended, each time somebody was told
 * @property {Set<VictimKind>} killed what of it
 * @property {string} [exit] how it ended, as it was recorded
 */

/** @typedef {{ sequence: number, container: string, launch: string, details: string }} RecordedEnd */

/** The codes of what is done to a launch whose program has ended. */
const ENDED = ['ERR_CONTAINER_NOT_RUNNING', 'ERR_CONTAINER_NOT_FOUND'];
/** The codes of what cannot be started since something of it was killed: it is not known what it would have been. */
const NOT_STARTED = ['ERR_START_FAILED', 'ERR_COMMAND_NOT_FOUND'];
/** The codes of a start of what is being removed. */
const REMOVED = ['ERR_CONTAINER_RUNNING', 'ERR_ROOTFS_UNAVAILABLE', 'ERR_START_FAILED'];
/** What can be known of a launch when its monitor was killed. @type {End} */
const LOST = { reason: 'monitor-lost' };

export class LaunchLedger {
  /** @type {Map<string, KnownContainer>} */
  containers = new Map();
  /** @type {string[]} */
  faults = [];
  /** @type {Map<string, number>} */
  counts = new Map();
  #recorded = 0;

  /** How many launches were begun, those of what is started again too. */
  get begun() {
    let begun = 0;
    for (const { asked } of this.containers.values()) begun += asked;
    return begun;
  }

  /** Notes that something of a launch is about to be killed. @param {string} id of the container @param {string} launchId @param {VictimKind} kind */
  kill(id, launchId, kind) {
    this.#killed(id).add(kind);
    this.#killed(launchId).add(kind);
    this.#count(`${kind} killed`);
  }

  /** Of containers and of launches. @type {Map<string, Set<VictimKind>>} */
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
  #begin({ id, program, removed, isHeld }, { name, owner }) {
    const killed = this.#killed(id);
    const nothing = { state: /** @type {const} */ ('begun'), asked: 1, mayBeGone: false, isInherited: false };
    this.containers.set(id, { id, agent: name, owner, program, removed, killed, ...nothing, launches: new Map() });
    this.#count(`${program.title}${isHeld ? ', held first' : ''}`);
  }

  /** @param {KnownContainer} container @param {string} launchId */
  #launch({ launches }, launchId) {
    const launch = launches.get(launchId) ?? {
      isTold: false,
      ends: [],
      told: [],
      killed: this.#killed(launchId),
    };
    launches.set(launchId, launch);
    return launch;
  }

  /** @param {import('../crew.mjs').Event} event */
  #addOne(event) {
    const container = this.containers.get(event['id']);
    if (container === undefined) {
      this.faults.push(`nobody has begun ${JSON.stringify(event)}`);
      return;
    }
    const { what, launchId } = event;
    if (what === 'launched') {
      container.state = 'launched';
      this.#launch(container, launchId).isTold = true;
      if (container.program.fails !== undefined) this.faults.push(`${container.id} was launched, and cannot be`);
    }
    if (what === 'failed') {
      container.state = 'failed';
      if (!mayFail(container, event['code'])) this.#fault(container, `its launch failed: ${event['text']}`);
    }
    if (what === 'act') {
      this.#launch(container, launchId).ends.push(...event['ends']);
      container.mayBeGone ||= event['act'].includes('destroy');
      // What is held is let go; where it was killed meanwhile it is launched again.
      if (event['starts'] && !(event['isHeld'] && container.killed.size === 0)) container.asked++;
      this.#count(event['act']);
    }
    if (what === 'end') this.#launch(container, launchId).told.push(event['exit']);
    if (what === 'missing') {
      const isLost = container.state === 'launched' && !container.removed && !container.mayBeGone;
      if (isLost) this.#fault(container, 'it is there no more');
      if (container.state === 'begun') container.state = 'failed';
    }
    if (what === 'refused') {
      this.#count(`${event['act']} refused`);
      if (!mayBeRefused(container, event)) this.#fault(container, `${event['act']}: ${event['text']}`);
    }
    if (what === 'printed') this.#printed(container, event);
    if (what === 'executed') this.#executed(container, this.#launch(container, launchId), event);
  }

  /** @param {KnownContainer} container @param {import('../crew.mjs').Event} event */
  #printed(container, { isWhole, times, end }) {
    if (container.killed.has('inside')) return;
    if (!isWhole) this.#fault(container, `its log ends with ${JSON.stringify(end)}`);
    const exits = [...container.launches.values()].map(({ exit, told }) => [exit, ...told.map(knownOf)]);
    const ends = exits.filter((all) => all.some((exit) => exit?.includes('"exited"'))).length;
    // What was killed, or undone, may have come so far.
    const isAll = times >= ends && times <= container.asked;
    if (!isAll && container.program.options.log === undefined) {
      this.#fault(container, `its log has ${times} of ${ends} launches that came to their end`);
    }
  }

  /** @param {KnownContainer} container @param {KnownLaunch} launch @param {import('../crew.mjs').Event} event */
  #executed(container, launch, { stdout, ended }) {
    const isWhole = ended.code === EXECUTED.code && stdout === EXECUTED.prints;
    // A code of its own it has only when it has come to its end; what it printed may be cut where something was killed.
    const mayBeCut = launch.killed.size > 0 && ended.code !== 0;
    if (!isWhole && !mayBeCut) this.#fault(container, `executed: ${JSON.stringify({ stdout, ended })}`);
    if (isWhole) this.#count('executed');
  }

  /**
   * Holds all ends against what is known. To be called when the news of all agents have been added.
   * @param {readonly RecordedEnd[]} recorded the events of all ends so far
   */
  judge(recorded) {
    const fresh = recorded.filter(({ sequence }) => sequence > this.#recorded);
    for (const { sequence, container: id, launch, details } of fresh) {
      this.#recorded = Math.max(this.#recorded, sequence);
      const container = this.containers.get(id);
      if (container === undefined) this.faults.push(`nobody has begun ${id}, which has ended`);
      else this.#ended(container, launch, JSON.parse(details));
    }
    for (const container of this.containers.values()) {
      for (const launch of container.launches.values()) {
        for (const exit of launch.told.splice(0)) this.#told(container, launch, exit);
      }
      if (container.launches.size > container.asked) {
        this.#fault(container, `it was launched ${container.launches.size} times, and asked for ${container.asked}`);
      }
    }
  }

  /** @param {KnownContainer} container @param {string} launchId @param {End} exit */
  #ended(container, launchId, exit) {
    const launch = this.#launch(container, launchId);
    if (launch.exit !== undefined) this.#fault(container, `the end of ${launchId} was recorded twice`);
    launch.exit = knownOf(exit);
    this.#count(`${exit.reason} recorded`);
    if (!launch.isTold && isUndone(exit)) return;
    const possible = possibleEnds(container, launch);
    if (!possible.some((end) => isOf(exit, end))) {
      const text = `it ended with ${JSON.stringify(exit)}, and may have with one of ${JSON.stringify(possible)}`;
      this.#fault(container, text);
    }
  }

  /** @param {KnownContainer} container @param {KnownLaunch} launch @param {End} exit */
  #told(container, launch, exit) {
    if (launch.exit !== knownOf(exit)) {
      this.#fault(container, `${knownOf(exit)} was told, and ${launch.exit} recorded`);
    }
  }

  /** What an agent that was killed leaves to its successor. @param {string} agent @param {readonly string[]} standing @returns {import('./agent.mjs').Job[]} */
  left(agent, standing) {
    return [...this.containers.values()]
      .filter((container) => container.agent === agent && container.state !== 'failed')
      .filter((container) => endsOf(container).length === 0 || standing.includes(container.id))
      .map(({ id, program, removed }) => ({ id, program, removed }));
  }

  /** A successor has them now. @param {readonly { id: string }[]} jobs @param {string} agent */
  handOver(jobs, agent) {
    for (const { id } of jobs) {
      const container = this.containers.get(id);
      if (container !== undefined) Object.assign(container, { agent, isInherited: true });
    }
  }

  /** When nothing runs any more. */
  judgeAtEnd() {
    for (const container of this.containers.values()) {
      for (const [id, { isTold, exit }] of container.launches) {
        if (isTold && exit === undefined) this.#fault(container, `the end of ${id} was not recorded`);
      }
    }
  }

  /** @param {KnownContainer} container @param {string} text */
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

/** @param {KnownContainer} container @param {string} code */
function mayFail({ program, killed }, code) {
  if (program.fails === code) return true;
  if (program.givenUpAfter !== undefined && code === 'ERR_ABORTED') return true;
  return killed.size > 0 && NOT_STARTED.includes(code);
}

/** @param {KnownContainer} container @param {import('../crew.mjs').Event} event */
function mayBeRefused({ program, removed, mayBeGone, isInherited, killed }, { act, code }) {
  if (isInherited && code === 'ERR_CONTAINER_NOT_RUNNING') return true;
  if (killed.size > 0 && ENDED.includes(code)) return true;
  if (act === 'exec' && killed.size > 0) return code === 'ERR_START_FAILED';
  if (act === 'start' || act === 'restart') {
    if (program.failsAgain === code) return true;
    if (killed.size > 0 && (NOT_STARTED.includes(code) || (removed && REMOVED.includes(code)))) return true;
  }
  return (removed || mayBeGone) && code === 'ERR_CONTAINER_NOT_FOUND';
}

/** @param {KnownContainer} container @param {KnownLaunch} launch @returns {End[]} */
function possibleEnds(container, launch) {
  const { killed } = launch;
  const possible = [...ownEnds(container, launch), ...launch.ends];
  if (killed.has('program') || killed.has('starting')) possible.push(KILLED, { ...KILLED, reason: 'oom' });
  if (killed.has('monitor')) possible.push(LOST);
  return possible;
}

/** What it comes to by itself. @param {KnownContainer} container @param {KnownLaunch} launch @returns {readonly End[]} */
function ownEnds({ program, launches, killed, isInherited, asked }, launch) {
  if (program.counts !== true) return program.ends;
  // Where something was killed, nobody knows how many of those before came so far as to count.
  const before = [...launches.values()].indexOf(launch);
  const isKnown = killed.size === 0 && !isInherited;
  const counted = isKnown ? [before] : Array.from({ length: asked }, (_, times) => times);
  return program.ends.flatMap((end) => counted.map((times) => ({ ...end, code: (end.code ?? 0) + times })));
}

/** @param {KnownContainer} container */
const endsOf = ({ launches }) => [...launches.values()].flatMap(({ exit }) => exit ?? []);

/** Whoever launched it died before it was recorded as running: nobody was told that it runs, and the next recovery ends it. @param {End & { startedAt?: number }} exit */
const isUndone = (exit) => exit.startedAt === undefined && (exit.reason === 'start-failed' || isOf(exit, KILLED));

/** @param {End} exit @param {End} end */
const isOf = (exit, end) => exit.code === end.code && exit.signal === end.signal && exit.reason === end.reason;

/** @param {End} exit */
const knownOf = ({ code, signal, reason }) => JSON.stringify({ code, signal, reason });
