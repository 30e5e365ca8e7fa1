//! The system calls that no library offers to programs that mean well.

use std::io;

/// Makes a system call and returns what it returned.
///
/// # Errors
/// The system call failed.
#[expect(
    unsafe_code,
    reason = "the calls under attack have no safe wrapper, which is the point of them"
)]
pub(crate) fn system_call(number: libc::c_long, args: [usize; 6]) -> io::Result<i64> {
    // SAFETY: callers pass numbers, zero, or addresses of memory that outlives the call and is as large as the call
    // expects.
    let result =
        unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Makes a system call whose arguments would only matter to a caller who may make it: any error but a refusal means
/// that the kernel let it in.
///
/// # Errors
/// The kernel or a filter refused the call.
pub(crate) fn is_let_in(number: libc::c_long, args: [usize; 6]) -> io::Result<()> {
    match system_call(number, args) {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EPERM | libc::ENOSYS | libc::EACCES)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// The address of a C string or a buffer, as an argument.
pub(crate) fn address<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>().addr()
}
