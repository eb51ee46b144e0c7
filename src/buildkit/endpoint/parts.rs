//! The parts of an endpoint: scheme, path, host, port, name. Each says what is wrong with it.

use std::path::{Path, PathBuf};

pub(super) fn split(value: &str) -> Result<(&str, &str), String> {
    value
        .split_once("://")
        .ok_or_else(|| "it has no `scheme://`".to_owned())
}

pub(super) fn socket_path(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') || text == "/" {
        return Err("the socket's path must be absolute, as in `unix:///run/x.sock`".into());
    }
    Ok(Path::new(text).to_path_buf())
}

pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| "the bracket is not closed".to_owned())?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| format!("`{host}` is not an IPv6 address"))?;
        match rest {
            "" => (host, None),
            _ => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(format!("`{rest}` after the address is no port")),
            },
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address needs brackets, as in `[::1]:1234`".into());
            }
            Some((host, port)) => (plain("host", host)?, Some(port)),
            None => (plain("host", text)?, None),
        }
    };
    let port = port.map(parse_port).transpose()?;
    Ok((host.to_owned(), port))
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("`{text}` is not a port from 1 to 65535")),
    }
}

/// Takes a word that other programs get as an argument, unless they could misread it.
pub(super) fn plain<'a>(what: &str, text: &'a str) -> Result<&'a str, String> {
    let odd = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '+' | '\\'));
    match text.find(odd) {
        _ if text.is_empty() => Err(format!("the {what} is missing")),
        _ if text.starts_with('-') => Err(format!("the {what} must not start with `-`")),
        Some(at) => {
            let odd = text[at..].chars().next().unwrap_or_default();
            Err(format!("the {what} `{text}` must not contain {odd:?}"))
        }
        None => Ok(text),
    }
}

pub(super) fn container_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('/').unwrap_or(text);
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        Ok(name.to_owned())
    } else {
        Err(format!("`{name}` is not a container's name or id"))
    }
}
