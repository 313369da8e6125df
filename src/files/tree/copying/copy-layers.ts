import { fileError, ProvisionerError } from '../../../base/errors.js';
import { printablePath } from '../../../system/syscalls/byte-path.js';
import { loadSyscalls } from '../../../system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../../../system/syscalls/load-tree-calls.js';
import type { Syscalls } from '../../../system/syscalls/syscalls.js';
import type { OpenDirectory } from '../../../system/syscalls/tree-calls.js';
import { LayerStack } from '../layer-stack.js';
import type { WhiteoutFormat } from '../whiteouts.js';
import type { Skipped } from './copy-attributes.js';
import { EntryCopier } from './copy-entry.js';
import { type CopyShare, ShareClaims, wholeCopy } from './copy-share.js';
import { TreeCopier } from './tree-copier.js';

export interface CopyLayersOptions {
  /** Absolute paths, bottom first, at least one. A directory that is there twice counts as its topmost copy. */
  readonly layers: readonly string[];
  /** An existing empty directory. It gets the attributes of the topmost layer's. */
  readonly target: string;
  readonly whiteouts: WhiteoutFormat;
  /** The one layer that there is as it is: what says in it that something is gone is copied as well, and means the same there. Default: false. */
  readonly asIs?: boolean;
  /**
   * Somebody may be at work in the one layer that there is: what vanishes meanwhile, or becomes something else, is left out, and a file may be caught half written. For one thread,
   * since two would not see the same. Default: false, and what vanishes is an error.
   */
  readonly changing?: boolean;
  /** False for an ordinary user: what only root may set is skipped, and counted. */
  readonly privileged: boolean;
  /** This call's part of the work; see `CopyShare`. Default: all of it. */
  readonly share?: CopyShare;
  /** Asked for every entry, and for every 32 MiB of a large file. Default: never cancelled. */
  readonly isCancelled?: () => boolean;
  /** Default: the best that there are here. */
  readonly syscalls?: Syscalls;
}

/** What one share did. The sum over all shares is the tree. */
export interface CopyLayersResult {
  /** Entries made, without the target itself. */
  readonly entries: number;
  /** Sizes of the regular files written, each hard-linked one once. */
  readonly bytes: number;
  readonly skipped: Readonly<Skipped>;
}

/**
 * Builds a root filesystem from layers, as an overlay mount of them would show it: every type of file, mode, owner, access and modification time
 * to the nanosecond, xattrs, the hard links of a layer, holes, names of any bytes. Each file is written once, whatever lies below it. The
 * layers' own access times stay as they are, where the caller owns them and the calls are native.
 *
 * Synchronous, for a worker thread. When it fails, what is in the target is only good to be removed.
 * @throws ProvisionerError `ERR_ABORTED`, `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`
 */
export function copyLayers(options: CopyLayersOptions): CopyLayersResult {
  const { target: targetPath, whiteouts, privileged, asIs = false, changing = false, isCancelled } = options;
  const calls = loadTreeCalls(options.syscalls ?? loadSyscalls());
  const claims = new ShareClaims(options.share ?? wholeCopy());
  const pause = () => {
    if (isCancelled?.()) throw new ProvisionerError('ERR_ABORTED', 'the copy was cancelled');
  };
  let stack: LayerStack | undefined;
  let target: OpenDirectory | undefined;
  let tree: TreeCopier | undefined;
  try {
    stack = new LayerStack(calls, options);
    target = calls.openDirectory(targetPath);
    const copier = new EntryCopier(calls, target, { privileged, asIs, changing, pause });
    tree = new TreeCopier({ stack, target, copier, claims, whiteouts: asIs ? undefined : whiteouts, changing, pause });
    tree.run();
    const { entries, bytes, skipped } = copier;
    return { entries, bytes, skipped };
  } catch (error) {
    const directory = tree?.current ? `${targetPath}/${printablePath(tree.current)}` : targetPath;
    throw fileError(error, 'copy the layers', directory);
  } finally {
    target?.close();
    stack?.close();
  }
}
