import { join } from 'node:path';
import { HOOK_LOG, OWN_FILE_NAMES } from '../../bundle/make-bundle.js';

/**
 * What stands in the directory of one launch, drawn once. It belongs to the store's user alone.
 *
 *   <root>/launches/<launch id>/
 *   ├── alive          locked by whoever starts the launch, and then, without a gap, by its monitor for as long as that lives
 *   ├── watched        locked by a process that will do what is to be done at the end
 *   ├── spec.json      what is to run, so that it can be started again
 *   ├── bundle/        what the runtime is told, config.json, and the container's own hosts, hostname and resolv.conf;
 *   │                  hooks.log is what hooks of devices said of errors
 *   ├── monitor        what the monitor is told
 *   ├── deadline       when its time is over, by the monotonic clock, in seconds; while that does not pass, `-` and how much of it is left
 *   ├── space          how its limit of disk space is kept, where it has one, and what was there before it first ran
 *   ├── space.lock     locked by the process that counts what it has written
 *   ├── within         it has written no more than its limit, as far as anybody has found
 *   ├── over           the same file, renamed, when it was found to have written more, before it is killed for that: a full disk does not keep anybody from it
 *   ├── let-go         when a program that was held at its gate was to go, in milliseconds since the epoch
 *   ├── typed, sizes   FIFOs, for a program that has a terminal: what is typed there, and its sizes (`TERMINAL_PROGRAM` has their form)
 *   ├── execs.lock     locked alone by whoever takes away what execs have left that were killed, and shared by whoever begins one
 *   ├── exec-<id>/     of an exec: process.json, pid, log, and `alive`, locked by the process that has asked for it
 *   ├── halts.lock     locked, shared, by whoever copies its files and has it stand still meanwhile; alone by whoever lets it go on
 *   ├── halted         it stands still for that alone, and is to go on when nobody copies any more
 *   ├── health.lock    locked by the process that checks whether the program is healthy
 *   ├── health         what the checks have found, and the one that has been begun, written in one step each time
 *   ├── console        a socket to which the runtime brings that terminal, during the start
 *   ├── pid            of the program, as this machine's processes see it
 *   ├── runtime.log    what the runtime said of a start that failed
 *   ├── output/log     what the program printed; log.1 is the part before
 *   └── exit           what became of it, written by the monitor in one step
 */
export class LaunchDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get alive(): string {
    return join(this.path, 'alive');
  }
  get watched(): string {
    return join(this.path, 'watched');
  }
  get spec(): string {
    return join(this.path, 'spec.json');
  }
  get bundle(): string {
    return join(this.path, 'bundle');
  }
  get config(): string {
    return join(this.bundle, 'config.json');
  }
  /** Files of this machine that the container has in its `/etc`. */
  get ownFiles(): string[] {
    return Object.values(OWN_FILE_NAMES).map((name) => join(this.bundle, name));
  }
  get hookLog(): string {
    return join(this.bundle, HOOK_LOG);
  }
  get monitor(): string {
    return join(this.path, 'monitor');
  }
  get monitorError(): string {
    return join(this.path, 'monitor-error');
  }
  get deadline(): string {
    return join(this.path, 'deadline');
  }
  get letGo(): string {
    return join(this.path, 'let-go');
  }
  get space(): string {
    return join(this.path, 'space');
  }
  get spaceLock(): string {
    return join(this.path, 'space.lock');
  }
  get withinLimit(): string {
    return join(this.path, 'within');
  }
  get overLimit(): string {
    return join(this.path, 'over');
  }
  get execsLock(): string {
    return join(this.path, 'execs.lock');
  }
  get haltsLock(): string {
    return join(this.path, 'halts.lock');
  }
  get halted(): string {
    return join(this.path, 'halted');
  }
  get healthLock(): string {
    return join(this.path, 'health.lock');
  }
  get health(): string {
    return join(this.path, 'health');
  }
  get typed(): string {
    return join(this.path, 'typed');
  }
  get sizes(): string {
    return join(this.path, 'sizes');
  }
  get pid(): string {
    return join(this.path, 'pid');
  }
  get runtimeLog(): string {
    return join(this.path, 'runtime.log');
  }
  get output(): string {
    return join(this.path, 'output');
  }
  get log(): string {
    return join(this.output, 'log');
  }
  get olderLog(): string {
    return join(this.output, 'log.1');
  }
  get exit(): string {
    return join(this.path, 'exit');
  }
}
