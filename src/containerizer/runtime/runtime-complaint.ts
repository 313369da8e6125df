import { ProvisionerError } from '../../base/errors.js';
import { readOrEmpty } from '../read-or-empty.js';

/** What a runtime wrote into its log, the last that counts; empty when it said nothing. */
export function runtimeComplaint(log: string): string {
  const messages = readOrEmpty(log)
    .split('\n')
    .flatMap((line) => {
      const said = messageIn(line);
      // Crun hands on what its process in the container has said, in the form of a log.
      return said === undefined ? [] : [messageIn(said) ?? said];
    });
  // It may end with one that says nothing.
  return messages.findLast((message) => message !== '') ?? '';
}

/** Of one line of its log; undefined where that is none that counts. */
function messageIn(line: string): string | undefined {
  try {
    const { msg, level } = Object(JSON.parse(line)) as { readonly msg?: unknown; readonly level?: unknown };
    return typeof msg === 'string' && /^(?:error|fatal)$/.test(String(level)) ? msg : undefined;
  } catch {
    return undefined;
  }
}

const NOT_FOUND =
  /executable file (?:.* )?not found|exec: .*no such file or directory|(?:\bstat |open executable).*no such file or directory/i;
const NOT_EXECUTABLE =
  /(?:exec|open executable|\bstat |execute).*(?:permission denied|operation not permitted|exec format error|is a directory|not executable)/i;
/** A program more cannot be run in what has ended: perhaps its notes are gone by then. */
const NOT_RUNNING =
  /does not exist|not running|cannot find|is stopped|opening file .*\/status\b.*no such file or directory/i;
const OUT_OF_MEMORY = /OOM|out of memory|memory limit/i;

/** Whether a runtime says that the container in which it was to run something runs no more. */
export const saysNotRunning = (complaint: string): boolean => NOT_RUNNING.test(complaint);

/**
 * Runtimes have one exit code for all that goes wrong, and the reason in words.
 * @param complaint of the runtime @param command that was to be run @param status of the runtime, as shells tell it @param isMore it was to be run in a container that runs
 */
export function startError(
  complaint: string,
  command: readonly string[],
  containerId: string,
  status: number,
  isMore = false,
): ProvisionerError {
  const [program = ''] = command;
  const details = { containerId, program, status };
  const said = complaint === '' ? `it ended with status ${status} and said nothing` : complaint;
  if (NOT_FOUND.test(complaint)) {
    return new ProvisionerError(
      'ERR_COMMAND_NOT_FOUND',
      `container ${containerId}: there is no program ${JSON.stringify(program)} in its root filesystem, or what it needs to be loaded`,
      {
        hint: program.includes('/')
          ? 'look at its path, and at the interpreter in its first line'
          : 'its `PATH` says where programs are looked for; or give the whole path',
        details: { ...details, runtime: said },
      },
    );
  }
  if (NOT_EXECUTABLE.test(complaint)) {
    return new ProvisionerError(
      'ERR_COMMAND_NOT_EXECUTABLE',
      `container ${containerId}: ${JSON.stringify(program)} cannot be executed`,
      {
        hint: 'its mode must permit it to the user who runs it, and its format must be one of this machine',
        details: { ...details, runtime: said },
      },
    );
  }
  const what = isMore ? `container ${containerId}: ${JSON.stringify(program)}` : `container ${containerId}`;
  return new ProvisionerError('ERR_START_FAILED', `${what} could not be started: ${said}`, {
    ...(OUT_OF_MEMORY.test(complaint) ? { hint: 'the limit of memory may be too low for it to begin' } : {}),
    details,
  });
}
