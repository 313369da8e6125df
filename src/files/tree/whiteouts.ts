/**
 * How a layer on disk says that something of the layers below it is gone. A store has one format for all its layers, in its
 * `format` file, found out by trying when the store is made:
 *
 * | format    | a removed entry                | an opaque directory            | made by                    | mounted by overlay  |
 * |-----------|--------------------------------|--------------------------------|----------------------------|---------------------|
 * | `trusted` | character device 0/0           | `trusted.overlay.opaque` = `y` | root                       | yes                 |
 * | `user`    | character device 0/0           | `user.overlay.opaque` = `y`    | root of a user namespace   | yes, with userxattr |
 * | `plain`   | an empty file `.wh.<name>`     | an empty file `.wh..wh..opq`   | anybody                    | no                  |
 * | `renamed` | an empty file `.wh=<name>`     | an empty file `.wh=.wh=.opq`   | anybody                    | no                  |
 *
 * The files of `plain` are those of the archive itself, so they cannot collide with a real name. But union file systems that have such files for themselves
 * refuse the names (fuse-overlayfs: EINVAL, aufs: EPERM), so there they are called something else, of the same length; an image that really has a file of such
 * a name is refused there.
 * @see OCI image-spec, layer.md, "Whiteouts"; https://docs.kernel.org/filesystems/overlayfs.html "whiteouts and opaque directories"
 */
export const WHITEOUT_FORMATS = ['trusted', 'user', 'plain', 'renamed'] as const;
export type WhiteoutFormat = (typeof WHITEOUT_FORMATS)[number];
/** Those that mark by devices and attributes, which overlay reads. */
export type OverlayFormat = 'trusted' | 'user';

/** What the marks of a format are called that marks by the names of files. */
export interface MarkNames {
  /** Begins the name of a whiteout; what follows is the name that is gone. */
  readonly prefix: string;
  /** Stands in an opaque directory. Begins with the prefix too, and hides no name that could be there. */
  readonly opaque: string;
}

const PLAIN: MarkNames = { prefix: '.wh.', opaque: '.wh..wh..opq' };
const RENAMED: MarkNames = { prefix: '.wh=', opaque: '.wh=.wh=.opq' };

/** Undefined for a format that overlay reads. */
export function markNames(format: Exclude<WhiteoutFormat, OverlayFormat>): MarkNames;
export function markNames(format: WhiteoutFormat): MarkNames | undefined;
export function markNames(format: WhiteoutFormat): MarkNames | undefined {
  if (format === 'plain') return PLAIN;
  return format === 'renamed' ? RENAMED : undefined;
}

export function isOverlayFormat(format: WhiteoutFormat): format is OverlayFormat {
  return markNames(format) === undefined;
}

/** Begins the name of a whiteout in an archive; what follows is the name that is gone. */
export const WHITEOUT_PREFIX = PLAIN.prefix;
/** Stands in an archive's directory that hides all of that name below it. */
export const OPAQUE_MARKER = PLAIN.opaque;

/** The attribute of an opaque directory in a format that overlay understands. */
export function opaqueXattr(format: OverlayFormat): string {
  return `${format}.overlay.opaque`;
}

/** Attributes that overlay obeys or hides; no archive may set them and no rootfs shows them. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('trusted.overlay.') || name.startsWith('user.overlay.');
}
