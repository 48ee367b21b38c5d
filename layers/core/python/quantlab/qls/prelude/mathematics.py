"""Mathematical functions made of + - * / only, so that every machine gives the same bits."""

from typing import Final

TEXT: Final = r"""
// The nearest whole number, halves away from zero.
// warm-up: 0
def round(float x)
    size = abs(x)
    whole = floor(size)
    near = size - whole >= 0.5 ? whole + 1 : whole
    return x < 0 ? -near : near

// x to the nearest multiple of step, halves away from zero.
// warm-up: 0
def round_to(float x, float step)
    return round(x / step) * step

// The smallest whole number that is not below x.
// warm-up: 0
def ceil(float x)
    return -floor(-x)

// x without its fraction.
// warm-up: 0
def trunc(float x)
    return x >= 0 ? floor(x) : -floor(-x)

// 1, 0 or -1 by the sign of x; na for na.
// warm-up: 0
def sign(float x)
    return na(x) ? na : x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0

// e to the power x: x is cut into k ln 2 + r, |r| <= ln 2 / 2; a Taylor polynomial of degree 13
// for r.
// warm-up: 0
def exp(float x)
    bounded = max(min(x, 710.0), -746.0)
    k = floor(bounded * 1.4426950408889634 + 0.5)
    r = (bounded - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = 1 + r * (1.0 / 13)
    p := 1 + r * (1.0 / 12) * p
    p := 1 + r * (1.0 / 11) * p
    p := 1 + r * (1.0 / 10) * p
    p := 1 + r * (1.0 / 9) * p
    p := 1 + r * (1.0 / 8) * p
    p := 1 + r * (1.0 / 7) * p
    p := 1 + r * (1.0 / 6) * p
    p := 1 + r * (1.0 / 5) * p
    p := 1 + r * (1.0 / 4) * p
    p := 1 + r * (1.0 / 3) * p
    p := 1 + r * 0.5 * p
    p := 1 + r * p
    half = idiv(int(k), 2)
    value = na(x) ? na : p * pow2(half) * pow2(int(k) - half)
    return x > 709.782712893384 ? 1e308 * 10 : x < -745.2 ? 0.0 : value

// Natural logarithm; na below 0, negative infinity at 0. The mantissa m in sqrt(1/2)..sqrt 2 by the
// series of 2 artanh((m - 1) / (m + 1)) to the 21st power.
// warm-up: 0
def ln(float x)
    small = x < 2.2250738585072014e-308
    scaled = small ? x * 18014398509481984.0 : x
    e0 = exponent(scaled)
    m0 = scaled * pow2(-idiv(e0, 2)) * pow2(idiv(e0, 2) - e0)
    high = m0 > 1.4142135623730951
    m = high ? m0 * 0.5 : m0
    e = float(e0 + int(high)) - (small ? 54.0 : 0.0)
    s = (m - 1) / (m + 1)
    q = s * s
    p = 1.0 / 19 + q * (1.0 / 21)
    p := 1.0 / 17 + q * p
    p := 1.0 / 15 + q * p
    p := 1.0 / 13 + q * p
    p := 1.0 / 11 + q * p
    p := 1.0 / 9 + q * p
    p := 1.0 / 7 + q * p
    p := 1.0 / 5 + q * p
    p := 1.0 / 3 + q * p
    value = e * 0.6931471803691238 + (2 * s + (2 * s * q * p + e * 1.9082149292705877e-10))
    infinite = 1e308 * 10
    return x > 0 ? (x == infinite ? x : value) : x == 0 ? -infinite : na

// Logarithm to base 10.
// warm-up: 0
def log10(float x)
    return ln(x) * 0.4342944819032518

// x to the power y. A whole y of at most 64 multiplies, by squaring; else exp(y ln x), na for
// x < 0.
// warm-up: 0
def pow(float x, float y)
    whole = floor(y) == y and abs(y) <= 64
    left = whole ? int(abs(y)) : 0
    power = 1.0
    base = x
    for _ in 1..7
        power := left % 2 == 1 ? power * base : power
        base := base * base
        left := idiv(left, 2)
    bent = exp(y * ln(x))
    return whole ? (y < 0 ? 1 / power : power) : x == 0 ? (y > 0 ? 0.0 : na) : bent

// Sine and cosine of r in -pi/4..pi/4 by Taylor polynomials, turned by quarter k.
// warm-up: 0
def _turned(float x, int quarters)
    k = floor(x * 0.6366197723675814 + 0.5)
    r = ((x - k * 1.5707963267341256) - k * 6.077100506303966e-11) - k * 2.0222662487959506e-21
    q = r * r
    s = 1 - q / 342 * (1 - q / 420)
    s := 1 - q / 272 * s
    s := 1 - q / 210 * s
    s := 1 - q / 156 * s
    s := 1 - q / 110 * s
    s := 1 - q / 72 * s
    s := 1 - q / 42 * s
    s := 1 - q / 20 * s
    s := r * (1 - q / 6 * s)
    c = 1 - q / 306 * (1 - q / 380)
    c := 1 - q / 240 * c
    c := 1 - q / 182 * c
    c := 1 - q / 132 * c
    c := 1 - q / 90 * c
    c := 1 - q / 56 * c
    c := 1 - q / 30 * c
    c := 1 - q / 12 * c
    c := 1 - q / 2 * c
    turn = (int(k) + quarters) % 4
    value = turn == 0 ? s : turn == 1 ? c : turn == 2 ? -s : -c
    return abs(x) <= 1e6 ? value : na

// Sine of x in radians; na beyond a million.
// warm-up: 0
def sin(float x)
    return _turned(x, 0)

// Cosine of x in radians; na beyond a million.
// warm-up: 0
def cos(float x)
    return _turned(x, 1)

// Tangent of x in radians; na beyond a million.
// warm-up: 0
def tan(float x)
    return sin(x) / cos(x)

// Arc tangent in radians: cut by atan x = 2 atan(x / (1 + sqrt(1 + x x))) twice, then its series.
// warm-up: 0
def atan(float x)
    big = abs(x) > 1
    y = big ? 1 / x : x
    a = y / (1 + sqrt(1 + y * y))
    b = a / (1 + sqrt(1 + a * a))
    q = b * b
    p = 1.0 / 21 - q * (1.0 / 23 - q * (1.0 / 25))
    p := 1.0 / 19 - q * p
    p := 1.0 / 17 - q * p
    p := 1.0 / 15 - q * p
    p := 1.0 / 13 - q * p
    p := 1.0 / 11 - q * p
    p := 1.0 / 9 - q * p
    p := 1.0 / 7 - q * p
    p := 1.0 / 5 - q * p
    p := 1.0 / 3 - q * p
    value = 4 * (b * (1 - q * p))
    right = 1.5707963267948966
    return big ? (x > 0 ? right - value : -right - value) : value

// Arc sine in radians; na outside -1..1.
// warm-up: 0
def asin(float x)
    edge = sqrt(1 - x * x)
    return abs(x) == 1 ? x * 1.5707963267948966 : atan(x / edge)

// Arc cosine in radians; na outside -1..1.
// warm-up: 0
def acos(float x)
    return 1.5707963267948966 - asin(x)

// Hyperbolic sine.
// warm-up: 0
def sinh(float x)
    return (exp(x) - exp(-x)) / 2

// Hyperbolic cosine.
// warm-up: 0
def cosh(float x)
    return (exp(x) + exp(-x)) / 2

// Hyperbolic tangent.
// warm-up: 0
def tanh(float x)
    grown = exp(-2 * abs(x))
    value = (1 - grown) / (1 + grown)
    return x < 0 ? -value : value

// Radians as degrees.
// warm-up: 0
def todegrees(float x)
    return x * 57.29577951308232

// Degrees as radians.
// warm-up: 0
def toradians(float x)
    return x * 0.017453292519943295
"""
