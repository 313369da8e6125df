import { mkdtempSync, rmdirSync } from 'node:fs';
import { fileError, isShortage, ProvisionerError, systemCode } from '../../base/errors.js';
import { toBytePath } from '../../system/syscalls/byte-path.js';
import { nativeMissing, whyNativeMissing } from '../../system/syscalls/native-missing.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import { isOverlayFormat, type OverlayFormat, opaqueXattr, type WhiteoutFormat } from './whiteouts.js';

export interface MarksNeeds {
  /** The store's. */
  readonly format: WhiteoutFormat;
  /** Begins the path of a directory in which can be tried what works, on the store's file system. */
  readonly tryIn: () => string;
  readonly syscalls: () => Syscalls;
  /** What this process does not see of the owners of files. Default: all is well with them. */
  readonly owners?: () => MarksOutOfReach | undefined;
}

/** What this process may not do with the marks of a store. */
export interface MarksOutOfReach {
  /** A clause: `this process cannot …`. */
  readonly reason: string;
  readonly hint: string;
  /** What was missing to find it out. Default: it was found out, and stays so. */
  readonly shortage?: unknown;
}

/**
 * Knows whether this process can write and see the marks of opaque directories of a store. `trusted.*` attributes are there for CAP_SYS_ADMIN of the initial user
 * namespace only; for anybody else, root in a container or of a user namespace included, it is as if there were none, and a directory that an image has replaced
 * shows its old files. So it is tried, once, when it is first asked for. The owners of files are a mark of that kind as well, and whoever sees them with other
 * ids is told the same.
 * @see xattr(7), "Trusted extended attributes"
 */
export class Marks {
  readonly #needs: MarksNeeds;
  #known: { readonly verdict: MarksOutOfReach | undefined } | undefined;

  constructor(needs: MarksNeeds) {
    this.#needs = needs;
  }

  /** Undefined where all is well; also without native system calls, whose absence is told by whoever needs them. */
  outOfReach(): MarksOutOfReach | undefined {
    const known = this.#known ?? { verdict: this.#find() };
    if (known.verdict?.shortage === undefined) this.#known = known;
    return known.verdict ?? this.#needs.owners?.();
  }

  /**
   * Stands before work that goes by the marks of the store's layers, or makes some.
   * @param deed as an infinitive
   * @throws ProvisionerError `ERR_PERMISSION` where they are out of reach; `ERR_NO_SPACE`, `ERR_IO` when that could not be found out
   */
  require(deed: string): void {
    const verdict = this.outOfReach();
    if (verdict === undefined) return;
    if (verdict.shortage !== undefined) throw fileError(verdict.shortage, deed, this.#needs.tryIn());
    throw marksRefusal(deed, verdict);
  }

  #find(): MarksOutOfReach | undefined {
    const { format, tryIn, syscalls } = this.#needs;
    if (!isOverlayFormat(format) || syscalls().kind === 'native-free') return undefined;
    const hint = whatToDo(format);
    let place: string | undefined;
    try {
      place = mkdtempSync(tryIn());
      markOpaque(place, format, syscalls());
      if (isMarkedOpaque(place, format, syscalls())) return undefined;
      return { reason: outOfReach(format, 'not to be seen once written'), hint };
    } catch (error) {
      const code = systemCode(error) ?? String(error);
      // That no directory can be made says nothing of the marks.
      if (place === undefined || isShortage(error))
        return { reason: `it cannot be found out now (${code})`, hint, shortage: error };
      return { reason: outOfReach(format, code), hint };
    } finally {
      if (place !== undefined) rmdirSync(place);
    }
  }
}

/** @param deed as an infinitive */
export function marksRefusal(deed: string, { reason, hint }: MarksOutOfReach): ProvisionerError {
  return new ProvisionerError('ERR_PERMISSION', `cannot ${deed}: ${reason}`, { hint });
}

/** The refusal of work on layers with such marks where native system calls are missing. */
export function marksNeedNativeCalls(): ProvisionerError {
  return nativeMissing(
    `the layers of this store have marks for which native system calls are needed, and these are missing here (${whyNativeMissing()})`,
    'use another store with --root',
  );
}

/** Writes the mark of a directory that hides all that is below it. @param directory absolute */
export function markOpaque(directory: string, format: OverlayFormat, syscalls: Syscalls): void {
  syscalls.setXattr(toBytePath(directory), opaqueXattr(format), Buffer.from('y'));
}

/** Whether that mark is to be seen. @param directory absolute */
export function isMarkedOpaque(directory: string, format: OverlayFormat, syscalls: Syscalls): boolean {
  return syscalls.getXattr(toBytePath(directory), opaqueXattr(format))?.toString('latin1') === 'y';
}

function outOfReach(format: OverlayFormat, why: string): string {
  return `this process can neither write nor see the marks that tell what an image has removed (${opaqueXattr(format)}: ${why}), so removed files would show`;
}

function whatToDo(format: OverlayFormat): string {
  return format === 'trusted'
    ? 'run it as root with CAP_SYS_ADMIN outside of user namespaces, or use a store of its own here, with --root'
    : 'use a store on a file system that keeps extended attributes, with --root';
}
