import type { ErrorTable } from './code-table.js';
import { SHORTAGES } from './shortages.js';

/** The codes that several rooms share. */
export const LIBRARY_ERRORS = {
  // The caller's input
  ERR_BAD_REFERENCE: {
    meaning: 'A text is no image reference, or one with a digest where a plain name is wanted.',
    whatToDo: 'Write it as `[registry/]repository[:tag][@digest]`.',
    retryable: false,
  },
  ERR_BAD_DIGEST: {
    meaning: 'A text is no digest.',
    whatToDo: 'Write it as `sha256:` and 64 hex digits, or `sha512:` and 128.',
    retryable: false,
  },
  ERR_BAD_PLATFORM: {
    meaning: 'A text is no platform.',
    whatToDo: 'Write it as `os/architecture[/variant]`, such as `linux/arm64`.',
    retryable: false,
  },
  ERR_BAD_SOURCE: {
    meaning: 'A text is no source of images, or its path leads to another kind of file than its transport reads.',
    whatToDo: 'Write it with one of the transports that `provisioner pull --help` lists, and check the path.',
    retryable: false,
  },
  ERR_BAD_CONTAINER_ID: {
    meaning: 'A text is no container id.',
    whatToDo: 'Use letters, digits, `_`, `.` and `-`, and `/` between the ids of nested containers.',
    retryable: false,
  },
  ERR_BAD_OPTION: {
    meaning: 'An argument or an option is unknown, of the wrong kind, out of range, or does not go with another one.',
    whatToDo: 'Correct the call: the message names the option and what it takes.',
    retryable: false,
  },
  // What the store holds
  ERR_IMAGE_NOT_FOUND: {
    meaning: 'The store does not hold the image.',
    whatToDo: 'Pull it, or look for its name with `provisioner images`.',
    retryable: false,
  },
  ERR_IMAGE_AMBIGUOUS: {
    meaning: 'Several images fit what was asked for.',
    whatToDo: 'Name one of those that the message lists, or give more digits of the digest.',
    retryable: false,
  },
  ERR_LAYER_NOT_FOUND: {
    meaning: 'The store does not hold a layer that is needed: a prune has taken it, or a recovery.',
    whatToDo: 'Pull the image again.',
    retryable: false,
  },
  ERR_NOT_EXPORTABLE: {
    meaning:
      'The archive of a layer cannot be made again, because what is needed beside its files was not kept; or there is none, because the store has made the layer itself. The message says which.',
    whatToDo: 'What the hint says: mostly to pull the image again with `--force`, while containers go on as they are.',
    retryable: false,
  },
  ERR_CONTAINER_NOT_FOUND: {
    meaning: 'There is no container of that id in the store.',
    whatToDo: 'Look for it with `provisioner ps`.',
    retryable: false,
  },
  ERR_CONTAINER_EXISTS: {
    meaning: 'A container of that id is there already.',
    whatToDo: 'Choose another id, or destroy that one.',
    retryable: false,
  },
  ERR_ROOTFS_UNAVAILABLE: {
    meaning:
      'The root filesystem of a container cannot be used: it is not mounted, as after a reboot, it is not whole, or its program has another one.',
    whatToDo: 'Do what the hint says; after a reboot, recover.',
    retryable: false,
  },
  ERR_CONTAINER_GONE: {
    meaning: 'Somebody destroyed the container while its root filesystem was being made; nothing of it is left.',
    whatToDo: 'Provision it again, if it is still wanted.',
    retryable: false,
  },
  ERR_CONTAINER_RUNNING: {
    meaning:
      'Something runs in the container, or in one nested in it, and nobody said that it may be ended; or what was launched there has not ended as far as the records tell.',
    whatToDo:
      'Wait until it has ended, end it, or say that it is to be killed; where who ran it has died, recover it with what runs containers.',
    retryable: false,
  },
  ERR_CONTAINER_FOREIGN: {
    meaning: 'The container, or one nested in it, belongs to another owner.',
    whatToDo: 'Leave it to that owner, or say that any owner’s is meant.',
    retryable: false,
  },
  ERR_VOLUME_NOT_FOUND: {
    meaning: 'There is no volume of that name.',
    whatToDo: 'Look at `provisioner volume ls`.',
    retryable: false,
  },
  ERR_VOLUME_IN_USE: {
    meaning: 'A volume cannot be removed, since a container has it, whether that runs or not.',
    whatToDo: 'Destroy the containers that the message names, or leave the volume.',
    retryable: false,
  },
  ERR_VOLUME_FOREIGN: {
    meaning: 'A volume that is to be written or removed belongs to another owner.',
    whatToDo: 'Mount it read-only, leave it to that owner, or say that any owner’s is meant.',
    retryable: false,
  },
  ERR_CONTAINER_ELSEWHERE: {
    meaning:
      'The root filesystem of a container is mounted or in use where this process cannot see it: in another mount namespace, or by another path.',
    whatToDo: 'End the processes that use it, or go to where it is mounted; then do it again.',
    retryable: {
      when: 'all that is in the way is processes that still work in it (`details.inUse`)',
      holds: ({ inUse }) => inUse === true,
    },
  },
  ERR_CONTAINER_UNTRUSTED: {
    meaning: 'The records of the store are incomplete, so something that seems unused may be in use by a container.',
    whatToDo: 'Destroy the containers that the message names, or recover the store, before it is tried again.',
    retryable: false,
  },
  ERR_STORE_NOT_FOUND: {
    meaning: 'There is no store at that path, and none was to be made.',
    whatToDo: 'Check the root, or allow that a store is made.',
    retryable: false,
  },
  ERR_STORE_REPLACED: {
    meaning: 'The path of the store leads to something else than what this process opened.',
    whatToDo: 'Close this provisioner and open the store anew.',
    retryable: false,
  },
  ERR_STORE_FORMAT: {
    meaning: 'Another version of this program, or another program, wrote the store.',
    whatToDo: 'Use the release that wrote it or a later one, or choose another root.',
    retryable: false,
  },
  ERR_STORE_DAMAGED: {
    meaning: 'Something in the store is not as this program left it.',
    whatToDo: 'Do what the hint says; `provisioner check --repair` finds and heals what can be healed.',
    retryable: false,
  },
  ERR_STORE_BUSY: {
    meaning:
      'Other processes wrote the records, or took back a store that they were making, for longer than is waited.',
    whatToDo: 'Try again; if it stays so, look for a process that is stopped or hangs.',
    retryable: true,
  },
  ERR_STORE_IN_USE: {
    meaning:
      'The records are those of an older release and must be brought up to date, and others have the store open who could not read them then; nothing was changed.',
    whatToDo: 'End the processes that the message names, or wait for them; then open the store again.',
    retryable: true,
  },
  ERR_LOCK_TIMEOUT: {
    meaning:
      'A lock did not come free within the time that the caller allows, or a stopped process whose pull is waited for did not go on.',
    whatToDo:
      'Wait until the process that the message names is done, continue it when it is stopped, or allow a longer wait.',
    retryable: true,
  },
  ERR_EVENTS_LOST: {
    meaning: 'Whoever follows the events of launches was slower than they came, and the next ones are kept no more.',
    whatToDo: 'Take events as they come, and look anew at what they told of.',
    retryable: true,
  },
  ERR_PLAN_OUTDATED: {
    meaning: 'What a plan of a prune says does not hold any more; nothing was removed.',
    whatToDo: 'Make a new plan.',
    retryable: false,
  },
  ERR_CLOSED: {
    meaning: 'The provisioner has been closed.',
    whatToDo: 'Open the store anew.',
    retryable: false,
  },
  // What a source offers
  ERR_SOURCE_NOT_FOUND: {
    meaning: 'The source, or the image in it, does not exist.',
    whatToDo: 'Check the path or the reference; the message lists what is there.',
    retryable: false,
  },
  ERR_SOURCE_UNSUPPORTED: {
    meaning: 'The source is of a kind that is not read.',
    whatToDo: 'Save the image in the form of OCI or of a current Docker.',
    retryable: false,
  },
  ERR_SOURCE_MALFORMED: {
    meaning: 'A document or an archive of the source does not follow its specification, or ends too early.',
    whatToDo: 'Get the source again, or complain to who made it.',
    retryable: false,
  },
  ERR_PLATFORM_NOT_OFFERED: {
    meaning: 'The source has no image for the platform.',
    whatToDo: 'Choose one of the platforms that the message lists.',
    retryable: false,
  },
  ERR_UNSUPPORTED_MEDIA_TYPE: {
    meaning: 'A manifest, a configuration or a layer is of a type that is not read.',
    whatToDo: 'Choose another image, or build it with types of OCI or Docker.',
    retryable: false,
  },
  ERR_BLOB_NOT_FOUND: {
    meaning: 'The source lacks something that its own manifest names.',
    whatToDo: 'Push or save the image again.',
    retryable: false,
  },
  ERR_DIGEST_MISMATCH: {
    meaning: 'What a source gave is not what its digest says.',
    whatToDo: 'Get the image from elsewhere: the source, or something on the way to it, is damaged or lies.',
    retryable: false,
  },
  ERR_SIZE_MISMATCH: {
    meaning: 'What a source gave has another size than its descriptor says.',
    whatToDo: 'Pull again, or from elsewhere.',
    retryable: { when: 'the answer of a registry ended too early', holds: ({ ended }) => ended === true },
  },
  ERR_DIFF_ID_MISMATCH: {
    meaning: 'A layer, inflated, is not what the configuration of its image says.',
    whatToDo: 'Build the image again.',
    retryable: false,
  },
  ERR_LOAD_INCOMPLETE: {
    meaning: 'An archive holds several images, and not all of them could be stored; those that could are.',
    whatToDo:
      'Look at `error.failures`, which has the error of each, and at `error.stored`, which has the images that are stored.',
    retryable: false,
  },
  // What a layer holds
  ERR_LAYER_MALFORMED: {
    meaning: 'The archive or the compression of a layer does not follow its format.',
    whatToDo: 'Build the image again.',
    retryable: false,
  },
  ERR_LAYER_TRUNCATED: {
    meaning: 'The archive or the compression of a layer ends too early.',
    whatToDo: 'Build the image again.',
    retryable: false,
  },
  ERR_UNSAFE_PATH: {
    meaning: 'An entry of a layer would be written outside of the layer.',
    whatToDo: 'Do not use this image: it is damaged or hostile.',
    retryable: false,
  },
  ERR_LIMIT_EXCEEDED: {
    meaning: 'An image, a layer or a document is larger than a limit allows.',
    whatToDo: 'Raise the limit that the message names, where there is an option for it.',
    retryable: false,
  },
  // The machine
  ERR_BACKEND_UNUSABLE: {
    meaning: 'The backend does not work on this machine, on this store, or for this user.',
    whatToDo: 'Choose another backend, or `auto`; `provisioner info` says which work, and why others do not.',
    retryable: false,
  },
  ERR_BACKEND_LIMIT: {
    meaning: 'The backend cannot show this image: it has too many layers for it, or whiteouts that it cannot hide.',
    whatToDo: 'Choose another backend.',
    retryable: false,
  },
  ERR_NATIVE_MISSING: {
    meaning: 'A native module cannot be loaded, and what was asked for needs it.',
    whatToDo: 'Install the package so that its native modules are there for this machine and this Node.',
    retryable: false,
  },
  ERR_PERMISSION: {
    meaning: 'The user who runs this process may not do it.',
    whatToDo: 'Check who owns what the message names, or choose another root.',
    retryable: false,
  },
  ERR_READ_ONLY: {
    meaning: 'Nothing can be written where it is needed: the store, or its file system, is read-only.',
    whatToDo: 'Mount it for writing.',
    retryable: false,
  },
  ERR_NO_SPACE: {
    meaning: 'There is no space or no inode left, or not as much as is to stay free.',
    whatToDo: 'Free some space, or prune images that nothing uses.',
    retryable: true,
  },
  ERR_NO_DESCRIPTORS: {
    meaning: 'This process, or the machine, has as many files open as it may.',
    whatToDo: 'Allow more, or use fewer workers.',
    retryable: true,
  },
  ERR_IO: {
    meaning: 'The system refused something else that was asked of a file or of the records.',
    whatToDo: 'Look at the cause and at `details.errno`.',
    retryable: {
      when: '`details.errno` tells of a shortage or of a device that did not answer (`ENOMEM`, `EBUSY`, `EIO`, `ETIMEDOUT`, …)',
      holds: ({ errno }) => typeof errno === 'string' && SHORTAGES.has(errno),
    },
  },
  ERR_WORKER_DIED: {
    meaning: 'A worker thread ended in the middle of its work.',
    whatToDo: 'Try again; if it happens again, give the process more memory, or fewer workers.',
    retryable: true,
  },
  // The caller changed its mind
  ERR_ABORTED: {
    meaning: 'The caller gave up, or the call that did the work did.',
    whatToDo: 'Nothing: this was asked for.',
    retryable: false,
  },
} as const satisfies ErrorTable;
