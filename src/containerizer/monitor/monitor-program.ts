import { LOG_PROGRAM } from './log-program.js';
import { STARTER_PROGRAM } from './starter-program.js';
import { TERMINAL_PROGRAM } from './terminal-program.js';

/**
 * The monitor of one container: a small process that outlives everybody else of ours. It starts the runtime, is the parent of the container's program (a child subreaper), writes
 * what the program prints into the log, holds to its limits of time and log, and says at the end, in a file, what became of it.
 *
 * It is written in Perl because that is what a Debian machine cannot be without, it begins in a millisecond, and it takes 1 MB where a second Node.js would take forty. It loads no module:
 * what Perl has no word for are system calls by number, which the settings give.
 *
 * What it is told stands in the file `monitor` of the launch's directory, `NAME VALUE` on each line (`MonitorSettings` in `monitor-settings.ts` has the names); nothing of it is ever given to a shell.
 * It is started there with the standard input of the program, and with
 *   3  where it tells its starter how the start went: one line, `started PID TIME`, in seconds since the epoch, or `failed STATUS`; closed when the monitor ends
 *   4  the lock on the file `alive`, which says that it lives for as long as it is held. Neither the runtime nor the program gets it
 *   5  perhaps a copy of the runtime in memory, to be executed as `/proc/self/fd/5`
 *
 * For a program that has a terminal it makes FIFOs there, `typed` and `sizes`, and hands on what comes in them: see `TERMINAL_PROGRAM`.
 *
 * Started with the argument `starter`, and numbers of system calls by name, it is none itself, and makes copies that are: see `STARTER_PROGRAM`; with `terminal`, it runs what an `exec` with a terminal is to run.
 * @see perldoc perlfunc, perlipc; PR_SET_CHILD_SUBREAPER in prctl(2)
 */
export const MONITOR_PROGRAM = String.raw`use strict;
use warnings;
no warnings 'exec';
my %set = (argument => [], hide => [], join => [], remove => [], after => []);
my ($typed, $sizes, $rest, $rest_until) = ('', '', 0.02, 0);
serve(@ARGV[1 .. $#ARGV]) if @ARGV && $ARGV[0] eq 'starter';
if (@ARGV && $ARGV[0] eq 'terminal') {
  my ($kind, $count, @rest) = @ARGV;
  %set = (%set, splice(@rest, 0, $count));
  run_with_terminal(@rest);
}
# Everything that is opened from here on is closed by exec. The two that were given are told so.
$^F = 2;
open(my $starter, '>&=', 3) or exit 125;
open(my $alive, '<&=', 4) or exit 125;
my @given = ($starter, $alive);
if (open(my $runtime, '<&=', 5)) { push @given, $runtime }
for my $handle (@given) { fcntl($handle, 2, 1) }

open(my $settings, '<', 'monitor') or failed(125, "monitor: $!");
while (my $line = <$settings>) {
  chomp $line;
  my ($name, $value) = split(/ /, $line, 2);
  # Any byte may stand in a value, written as %XX where it would end the line.
  $value =~ s/%([0-9A-F]{2})/chr(hex($1))/ge;
  if (ref $set{$name}) { push @{$set{$name}}, $value } else { $set{$name} = $value }
}
close $settings;
$0 = "provisioner-monitor $set{container}";
$SIG{$_} = 'IGNORE' for qw(HUP INT QUIT TERM PIPE USR1 USR2);
syscall($set{prctl}, 36, 1, 0, 0, 0) == 0 or failed(125, "prctl: $!");
for my $file (@{$set{join}}) {
  open(my $join, '>', $file) or next;
  syswrite($join, "$$\n");
  close $join;
}

my ($log, $size, %lost);
go_on();
pipe(my $out, my $out_end) or failed(125, "pipe: $!");
pipe(my $err, my $err_end) or failed(125, "pipe: $!");
my ($console, $terminal, $input, $resized);
if ($set{terminal}) {
  $console = await_terminal() or failed(125, "console: $!");
  $input = fifo('typed');
  $resized = fifo('sizes');
}
# Open for both, so that it never ends.
sub fifo {
  my ($path) = @_;
  my $name = "$path\0";
  syscall($set{mknodat}, -100, $name, 0x1180, 0) == 0 && open(my $fifo, '+<', $path) or failed(125, "$path: $!");
  return $fifo;
}

# Room for what is to be said at the end, when there may be none on the disk.
if (open(my $room, '>', 'exit.draft')) { syswrite($room, ' ' x 1024); close $room }

my $runtime = fork();
defined $runtime or failed(125, "fork: $!");
if ($runtime == 0) {
  $SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT TERM PIPE USR1 USR2);
  # Whoever ends this monitor before the start is done ends the start.
  syscall($set{prctl}, 1, 9, 0, 0, 0);
  enter();
  open(STDOUT, '>&', $out_end);
  open(STDERR, '>&', $err_end);
  exec { $set{program} } $set{runtime}, @{$set{argument}};
  print STDERR "$set{program}: $!\n";
  exit 127;
}
close $out_end;
close $err_end;
open(STDIN, '<', '/dev/null');

# The end of a child is waited for by a descriptor of it, first that of the runtime, then that of the program: of a signal that comes right before the wait Perl would tell only after it.
my $child = watch($runtime);
sub watch {
  my ($pid) = @_;
  my $number = syscall($set{pidfd_open}, $pid, 0);
  return undef if $number < 0;
  open(my $handle, '<&=', $number) or return undef;
  return $handle;
}

my %streams = (fileno($out) => [$out, 'stdout'], fileno($err) => [$err, 'stderr']);
my ($program, $by, $deadline, $looked, $status, $closing, %early) = (0, '', '-', 0);
while (1) {
  my $set = '';
  vec($set, fileno($child), 1) = 1 if defined $child;
  my $is_resting = defined $terminal && !defined $status && resting();
  vec($set, $_, 1) = 1 for grep { !$is_resting || $_ != fileno($terminal) } keys %streams;
  my $typing = '';
  if (defined $terminal) {
    vec($set, fileno($resized), 1) = 1;
    vec(length $typed ? $typing : $set, fileno(length $typed ? $terminal : $input), 1) = 1;
  } elsif (defined $console) { vec($set, fileno($console), 1) = 1 }
  my $ready = $set;
  my $found = select($ready, $typing, undef, patience());
  if ($found > 0) {
    for my $number (keys %streams) {
      next unless vec($ready, $number, 1);
      my $got = sysread($streams{$number}[0], my $bytes, 65536);
      if ($got) { $rest = 0.02; keep($streams{$number}[1], $bytes) }
      elsif (defined $got || !($!{EINTR} || $!{EAGAIN})) {
        if (defined $terminal && $number == fileno($terminal) && !defined $status) { rest() }
        else { delete $streams{$number} }
      }
    }
    if (defined $terminal) {
      take_sizes($resized, $terminal) if vec($ready, fileno($resized), 1);
      take_typed($input) if vec($ready, fileno($input), 1);
      type_on($terminal) if length $typed;
    } elsif (defined $console && vec($ready, fileno($console), 1)) {
      $terminal = brought_terminal($console);
      undef $console;
      if (defined $terminal) { $streams{fileno($terminal)} = [$terminal, 'stdout'] }
    }
  }
  reap();
  hold_limits() if $program && !defined $status;
  last if defined $status && (!(keys %streams || defined $console) || now(1) > $closing);
}
tell_lost();
finish();

# The end of the runtime is the start of the program; the end of the program is its end, which may be seen before that of the runtime. What else was left to us is only taken away.
sub reap {
  while ((my $pid = waitpid(-1, 1)) > 0) {
    if ($pid == $runtime) { begun($?) }
    elsif (!$program) { $early{$pid} = $? }
    elsif ($pid == $program) { ended($?) }
  }
}
sub ended {
  ($status) = @_;
  undef $child;
  $closing = now(1) + 1;
}
sub begun {
  my ($result) = @_;
  $runtime = -1;
  if ($result != 0) {
    drain();
    failed($result & 127 ? 128 + ($result & 127) : $result >> 8);
  }
  open(my $file, '<', 'pid') or failed(125, "pid: $!");
  $program = <$file>;
  close $file;
  $program += 0;
  syswrite($starter, sprintf("started %d %d.%09d\n", $program, now(0)));
  $child = watch($program);
  ended($early{$program}) if exists $early{$program};
  %early = ();
}
sub drain {
  for my $stream (values %streams) {
    fcntl($stream->[0], 4, 2048);
    while (my $got = sysread($stream->[0], my $bytes, 65536)) { keep($stream->[1], $bytes) }
  }
}
sub failed {
  my ($code, $why) = @_;
  if (defined $why) {
    open(my $file, '>', 'monitor-error');
    print $file $why;
    close $file;
  }
  syswrite($starter, "failed $code\n");
  clean();
  exit 0;
}

# A mount namespace of its own for the runtime, in which what it cannot stand is covered. It may not show elsewhere. What the runtime leaves in the cover goes with the namespace.
sub enter {
  return unless @{$set{hide}};
  my $none = "none\0";
  my $root = "/\0";
  my $cover = "tmpfs\0";
  return if syscall($set{unshare}, 0x20000) != 0;
  syscall($set{mount}, $none, $root, $none, 0x44000, 0);
  for my $path (@{$set{hide}}) {
    my $hidden = "$path\0";
    syscall($set{mount}, $cover, $hidden, $cover, 14, 0);
  }
}

sub now {
  my ($clock) = @_;
  my $time = "\0" x 16;
  syscall($set{clock_gettime}, $clock, $time);
  my ($seconds, $nanoseconds) = unpack('q q', $time);
  return $clock == 1 ? $seconds + $nanoseconds / 1e9 : ($seconds, $nanoseconds);
}
# How long to wait at most: what is to be looked at again, in seconds; for ever when nothing is.
sub patience {
  # Kernels before 5.3 have no such descriptors.
  return 0.05 if defined $status || !defined $child;
  return undef unless $program;
  my $rest_left = defined $terminal ? resting() : 0;
  return $rest_left if $rest_left;
  return 1 if $by;
  return undef unless $set{'time-limit'};
  my $left = left();
  return !defined $left || $left > 2 ? 2 : $left < 0 ? 0 : $left;
}
# What is left of its time, in seconds. The file is written anew when the limit changes, when the container is paused and when it goes on: it has the time of the monotonic clock at which its
# time is over, or - while that does not pass. It is looked at again after two seconds, and before anything is done about it.
sub left {
  my $now = now(1);
  if ($now - $looked > 2 || ($deadline ne '-' && $deadline <= $now)) {
    if (open(my $file, '<', 'deadline')) {
      my $text = <$file> // '';
      $deadline = $text =~ /^(\d+(?:\.\d+)?)$/ ? $1 : '-';
      close $file;
    }
    $looked = $now;
  }
  return $deadline eq '-' ? undef : $deadline - $now;
}
sub hold_limits {
  if (!$by && $set{'time-limit'}) {
    my $left = left();
    $by = 'time-limit' if defined $left && $left <= 0;
  }
  return unless $by;
  kill('KILL', $program);
  thaw();
}
# A frozen program would not see its end.
sub thaw {
  for my $pair ([$set{'freezer-state'}, 'THAWED'], [$set{'cgroup-freeze'}, '0']) {
    next unless defined $pair->[0];
    open(my $file, '>', $pair->[0]) or next;
    syswrite($file, $pair->[1]);
    close $file;
  }
}

sub number_in {
  my ($path, $key) = @_;
  return undef unless defined $path;
  open(my $file, '<', $path) or return undef;
  local $/;
  my $text = <$file>;
  close $file;
  return undef unless defined $text;
  return $text =~ /^(\d+)\s*$/ ? $1 : undef unless defined $key;
  return $text =~ /^\Q$key\E (\d+)$/m ? $1 : undef;
}
# What became of it, whole or not at all. After that nobody needs us but for what is to be taken away.
sub finish {
  my ($seconds, $nanoseconds) = now(0);
  my %end = (
    status => $status,
    finished => sprintf('%d.%09d', $seconds, $nanoseconds),
    by => $by || '-',
    oom => number_in($set{'oom-events'}, 'oom_kill'),
    peak => number_in($set{'memory-peak'}),
    cpu => defined $set{'cpu-time'} ? number_in($set{'cpu-time'}) : undef,
    'cpu-microseconds' => number_in($set{'cpu-stat'}, 'usage_usec'),
  );
  # With no byte free it is tried again, for as long as it takes: without it nobody would know.
  my $text = join('', map { "$_ $end{$_}\n" } sort grep { defined $end{$_} } keys %end);
  # Where its directory has been removed, nobody will ask.
  until (write_whole('exit', $text)) {
    last if $!{ENOENT};
    select(undef, undef, undef, 0.5);
  }
  clean();
  # Whoever watches holds this lock, and does what is to be done. Where nobody does, it is done by what was named for that.
  if (@{$set{after}}) {
    my $free = 1;
    if (open(my $file, '<', 'watched')) { $free = flock($file, 6) }
    if ($free) {
      $SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT TERM PIPE USR1 USR2);
      close $alive;
      chdir('/');
      open(STDOUT, '>', '/dev/null');
      open(STDERR, '>', '/dev/null');
      exec { $set{after}[0] } @{$set{after}};
    }
  }
  exit 0;
}
sub write_whole {
  my ($path, $text) = @_;
  $! = 0;
  # Over what is there, whose room is ours already.
  my $file;
  open($file, '+<', "$path.draft") or open($file, '>', "$path.draft") or return 0;
  my $wrote = syswrite($file, $text);
  return 0 unless defined $wrote && $wrote == length($text) && truncate($file, length $text);
  return close($file) && rename("$path.draft", $path);
}
# What the runtime has left: its notes, and the cgroups, which were kept for the numbers in them.
sub clean {
  for my $path (@{$set{remove}}) {
    for my $again (1 .. 50) {
      remove($path);
      last unless -e $path;
      select(undef, undef, undef, 0.02);
    }
  }
}
sub remove {
  my ($path) = @_;
  # Most are empty, as cgroups always are but for other cgroups: so nothing in them is looked at.
  return if rmdir $path;
  if (-d $path && !-l $path) {
    if (opendir(my $directory, $path)) {
      # In a cgroup nothing but directories can be removed.
      for my $name (readdir $directory) {
        next if $name eq '.' || $name eq '..';
        remove("$path/$name") if -d "$path/$name" || index($path, '/sys/fs/cgroup/') != 0;
      }
      closedir $directory;
    }
    rmdir $path;
  } else {
    unlink $path;
  }
}
${LOG_PROGRAM}${STARTER_PROGRAM}${TERMINAL_PROGRAM}`;
