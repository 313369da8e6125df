import { ProvisionerError } from '../../base/errors.js';

/** Of what a hook has said the end tells most. */
const SAID_MOST = 2000;

/** What crun takes for where its hooks write what goes wrong; else it is lost. @see crun(1), `run.oci.hooks.stderr` */
export const HOOK_LOG_ANNOTATION = 'run.oci.hooks.stderr';

export interface HookFailure {
  readonly containerId: string;
  /** What the runtime said. */
  readonly complaint: string;
  /** The programs that are hooks of this launch. */
  readonly programs: readonly string[];
  /** The devices whose they are, as far as that is known. */
  readonly devices: readonly string[];
  /** What hooks wrote of errors, where the runtime does not say it itself. */
  readonly said: string;
}

/**
 * Why a start failed, where a hook was the reason: which program, how it ended, and what it said.
 * @returns undefined when it was something else
 * @see crun, `libcrun_do_hooks`; runc, `libcontainer/configs/config.go`, `Command.Run`
 */
export function hookError({
  containerId,
  complaint,
  programs,
  devices,
  said,
}: HookFailure): ProvisionerError | undefined {
  const [, ofCrun, status] = /error executing hook `([^`]*)` \(exit code: (-?\d+)\)/.exec(complaint) ?? [];
  const [, late] = /timeout expired for `([^`]*)`/.exec(complaint) ?? [];
  const [, ofRunc] = /error running (?:\w+ )?hooks?(?: #\d+)?: (.*)$/s.exec(complaint) ?? [];
  if (programs.length === 0 || (ofCrun ?? late ?? ofRunc) === undefined) return undefined;
  const [, ended, itself] = /exit status (\d+), stdout: .*?, stderr: (.*)$/s.exec(ofRunc ?? '') ?? [];
  // Runc does not say which.
  const named = ofCrun ?? late ?? (programs.length === 1 ? programs[0] : undefined);
  const program = named ?? `one of ${programs.join(', ')}`;
  // Crun sees its own end of one that is late in two ways.
  const isLate = late !== undefined || status === '-1' || /ran past specified timeout/.test(ofRunc ?? '');
  const number = status === '-1' ? undefined : (status ?? ended);
  const how = isLate
    ? 'took longer than it may'
    : number === undefined
      ? `failed: ${ofRunc}`
      : `ended with status ${number}`;
  const words = (itself?.replaceAll('\\n', '\n') ?? said).trim().slice(-SAID_MOST);
  const whose = devices.length === 0 ? 'a hook of its devices' : `a hook of ${devices.join(', ')}`;
  const [last = ''] = words.split('\n').slice(-1);
  return new ProvisionerError(
    'ERR_START_FAILED',
    `container ${containerId} could not be started: ${whose} failed: ${program} ${how}${last === '' ? '' : `, and said: ${last}`}`,
    {
      hint: 'it is a program of this machine that the CDI file of the device names; see what it needs',
      details: { containerId, program, ...(number === undefined ? {} : { status: Number(number) }), said: words },
    },
  );
}
