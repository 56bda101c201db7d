//! Where a request really comes from: the client's address behind proxies.
//!
//! A proxy appends the address it was called from to `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//! Whatever stands left of what trusted proxies wrote is the client's own text, so that lists are
//! read from the right and only as far as trusted hops reach.

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a request's connection, as an extension of the request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The client's address. None if nothing tells it: a trusted proxy that names nobody, or a peer in
/// a private network while no proxy is trusted, which is most likely a load balancer that everybody
/// comes through.
///
/// A peer of this machine (loopback) counts as itself. Where `Forwarded` and `X-Forwarded-For`
/// contradict each other one of them is forged, and neither is believed: the peer counts.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        let hidden = trusted.is_empty() && is_private(peer);
        return (!hidden).then_some(peer);
    }
    let forwarded = outermost(
        elements(headers, &header::FORWARDED).map(forwarded_for),
        trusted,
    );
    let x_forwarded = outermost(elements(headers, &X_FORWARDED_FOR).map(node), trusted);
    match (forwarded, x_forwarded) {
        (Some(one), Some(other)) if one != other => Some(peer),
        (one, other) => one.or(other),
    }
}

/// The first untrusted hop from the right. What cannot be read ends the walk, as does the list's
/// end: then the last hop that could be read counts.
fn outermost(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut last = None;
    for hop in hops {
        let Some(hop) = hop else { break };
        last = Some(hop);
        if !is_trusted(hop, trusted) {
            break;
        }
    }
    last
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// RFC 1918, link-local, RFC 6598 (carriers' and cloud providers' shared space), RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The elements of a list header, from the right; what is not text is an element that cannot be
/// read.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    lines
        .into_iter()
        .rev()
        .flat_map(|line| from_right(line.to_str().unwrap_or("?"), b','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// Splits at separators outside of quoted strings, from the right: a quote that a client opened and
/// never closed must not swallow what a proxy appended.
fn from_right(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let mut quoted = false;
        for at in (0..bytes.len()).rev() {
            if bytes[at] == b'"' && !is_escaped(bytes, at) {
                quoted = !quoted;
            } else if bytes[at] == separator && !quoted {
                rest = Some(&text[..at]);
                return Some(&text[at + 1..]);
            }
        }
        rest = None;
        Some(text)
    })
}

/// Whether an odd number of backslashes stands before this byte.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let backslashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The address in the `for` parameter of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    from_right(element, b';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| node(value.trim()))
    })?
}

/// An address with or without port, brackets and quotes. `unknown` and obfuscated identifiers
/// (`_hidden`) are nobody's.
fn node(text: &str) -> Option<IpAddr> {
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
        .trim();
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (inner, after) = bracketed.split_once(']')?;
        let plain = after.is_empty() || after.starts_with(':');
        plain.then(|| inner.parse().ok().map(IpAddr::V6)).flatten()
    } else {
        let before_port = || IpAddr::V4(text.split_once(':')?.0.parse().ok()?).into();
        text.parse().ok().or_else(before_port)
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.7";

    fn networks(text: &str) -> Vec<IpNet> {
        text.split_whitespace()
            .map(|network| network.parse().unwrap())
            .collect()
    }

    /// The address seen through proxies in `10.0.0.0/8` and `2001:db8:1::/48`.
    fn through(headers: &[(HeaderName, &[u8])]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let trusted = networks("10.0.0.0/8 2001:db8:1::/48");
        address(PROXY.parse().unwrap(), &map, &trusted).map(|address| address.to_string())
    }

    fn direct(peer: &str, trusted: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, "6.6.6.6".parse().unwrap())]);
        let address = address(peer.parse().unwrap(), &headers, &networks(trusted));
        address.map(|address| address.to_string())
    }

    #[test]
    fn without_trusted_proxies_the_peer_counts_unless_it_is_private() {
        for peer in [
            "203.0.113.9",
            "127.0.0.1",
            "::1",
            "2001:db8::1",
            "100.128.0.1",
        ] {
            assert_eq!(direct(peer, ""), Some(peer.to_owned()));
        }
        assert_eq!(
            direct("::ffff:203.0.113.9", ""),
            Some("203.0.113.9".to_owned())
        );
        for peer in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.1.2.3",
        ] {
            assert_eq!(direct(peer, ""), None, "{peer}");
        }
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_not_believed() {
        assert_eq!(
            direct("203.0.113.9", "10.0.0.0/8"),
            Some("203.0.113.9".into())
        );
        assert_eq!(
            direct("192.168.1.1", "10.0.0.0/8"),
            Some("192.168.1.1".into())
        );
        assert_eq!(direct("10.1.1.1", "10.0.0.0/8"), Some("6.6.6.6".into()));
    }

    #[test]
    fn lists_are_read_from_the_right_past_trusted_hops() {
        let cases: [(&[&[u8]], Option<&str>); 14] = [
            (&[b"198.51.100.1"], Some("198.51.100.1")),
            (&[b"1.1.1.1, 198.51.100.1"], Some("198.51.100.1")),
            (
                &[b"1.1.1.1, 198.51.100.1, 10.9.9.9,10.8.8.8"],
                Some("198.51.100.1"),
            ),
            (
                &[b"1.1.1.1", b"198.51.100.1", b"10.9.9.9"],
                Some("198.51.100.1"),
            ),
            (&[b"198.51.100.1:4711"], Some("198.51.100.1")),
            (&[b"[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&[b"2001:db8::1, 2001:db8:1::5"], Some("2001:db8::1")),
            (&[b"::ffff:198.51.100.1"], Some("198.51.100.1")),
            (&[b"garbage, 198.51.100.1"], Some("198.51.100.1")),
            (&[b"198.51.100.1, garbage, 10.9.9.9"], Some("10.9.9.9")),
            (&[b"10.9.9.9, 10.8.8.8"], Some("10.9.9.9")),
            (&[b" , ,"], None),
            (&[b"\xff\xfe"], None),
            (&[b"999.1.1.1"], None),
        ];
        for (lines, expected) in cases {
            let headers: Vec<_> = lines.iter().map(|line| (X_FORWARDED_FOR, *line)).collect();
            assert_eq!(through(&headers).as_deref(), expected, "{lines:?}");
        }
        assert_eq!(through(&[]), None);
    }

    #[test]
    fn forwarded_is_read_in_all_its_spellings() {
        for (line, expected) in [
            ("for=198.51.100.1", Some("198.51.100.1")),
            (
                "by=10.0.0.7;For=198.51.100.1;host=a.example;proto=https",
                Some("198.51.100.1"),
            ),
            (r#"for="198.51.100.1:4711""#, Some("198.51.100.1")),
            (
                r#"for="[2001:db8::1]:4711";proto=http"#,
                Some("2001:db8::1"),
            ),
            (r#"for="[2001:db8::1]:_port""#, Some("2001:db8::1")),
            (
                "for=1.1.1.1, for=198.51.100.1, for=10.9.9.9",
                Some("198.51.100.1"),
            ),
            (
                r#"host="a,for=1.1.1.1";for=198.51.100.1"#,
                Some("198.51.100.1"),
            ),
            (
                r#"for=198.51.100.1;host="a\",for=1.1.1.1;b""#,
                Some("198.51.100.1"),
            ),
            ("for=1.1.1.1, for=_hidden, for=10.9.9.9", Some("10.9.9.9")),
            ("for=unknown", None),
            ("proto=https", None),
            ("for", None),
            (r#"for="""#, None),
            (r#"for=""#, None),
        ] {
            let seen = through(&[(header::FORWARDED, line.as_bytes())]);
            assert_eq!(seen.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_quote_left_open_by_the_client_swallows_nothing() {
        let line = br#"for="1.1.1.1, for=198.51.100.1"#;
        assert_eq!(
            through(&[(header::FORWARDED, line)]).as_deref(),
            Some("198.51.100.1")
        );
    }

    #[test]
    fn contradicting_headers_are_not_believed() {
        let told = |forwarded: &'static str, other: &'static str| {
            through(&[
                (header::FORWARDED, forwarded.as_bytes()),
                (X_FORWARDED_FOR, other.as_bytes()),
            ])
        };
        assert_eq!(
            told("for=198.51.100.1", "198.51.100.1").as_deref(),
            Some("198.51.100.1")
        );
        assert_eq!(told("for=6.6.6.6", "198.51.100.1").as_deref(), Some(PROXY));
        assert_eq!(
            told("for=unknown", "198.51.100.1").as_deref(),
            Some("198.51.100.1")
        );
    }
}
