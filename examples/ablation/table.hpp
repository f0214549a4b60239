// SPDX-License-Identifier: Apache-2.0
/// @file  Rows of results as an aligned table, as JSON or as CSV.
#pragma once

#include <algorithm>     // clamp, max
#include <charconv>      // to_chars
#include <cmath>         // isfinite, isnan
#include <cstddef>       // size_t
#include <cstdint>       // int64_t
#include <functional>    // function
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // errc
#include <variant>       // variant
#include <vector>        // vector

#include <sextant/interop/json.hpp>

namespace ablation {

/// One value: nothing, text, a tick, an integer or a number.
using cell = std::variant<std::monostate, std::string, bool, std::int64_t, double>;

/// How a column's values are shown in a table. JSON and CSV carry them whole.
enum class kind {
  text,        ///< to the left
  tick,        ///< a check mark for true, a dot for false
  integer,     ///< to the right, thousands apart
  fixed,       ///< `digits` digits behind the point
  scientific,  ///< the same, with an exponent
};

/// A column of a table whose rows are of type Row.
template <class Row> struct column {
  std::string key;    ///< the name in JSON and CSV
  std::string title;  ///< the heading in a table; may be UTF-8
  kind shown_as = kind::text;
  int digits = 0;                         ///< of kinds fixed and scientific
  std::function<cell(const Row&)> value;  ///< an empty cell is a dash in a table, null in JSON, nothing in CSV
};

namespace detail {

using sextant::detail::json_string;

/// The characters of a UTF-8 text; each is taken to be one wide.
inline std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return width;
}

/// A number, the same in every locale. format and digits as of std::to_chars; without them the shortest text that
/// reads back to the same bits.
template <class Number, class... Format> std::string number_text(Number x, Format... format) {
  char buffer[400];  // a double of 309 digits, a point and 17 more
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, x, format...);
  return end.ec == std::errc{} ? std::string(buffer, end.ptr) : "?";
}

inline std::string grouped(std::int64_t x) {
  std::string text = number_text(x);
  for (std::size_t at = text.size(); at > (x < 0 ? 4u : 3u);) text.insert(at -= 3, 1, ',');
  return text;
}

inline std::string table_text(const cell& value, kind shown_as, int digits) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* tick = std::get_if<bool>(&value)) return *tick ? "✓" : "·";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return grouped(*integer);
  if (const auto* x = std::get_if<double>(&value)) {
    if (!std::isfinite(*x)) return std::isnan(*x) ? "nan" : *x > 0 ? "inf" : "-inf";
    const auto format = shown_as == kind::scientific ? std::chars_format::scientific : std::chars_format::fixed;
    return number_text(*x, format, std::clamp(digits, 0, 17));
  }
  return "-";
}

/// JSON knows neither NaN nor infinity: they become null.
inline std::string json_text(const cell& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return json_string(*text);
  if (const auto* tick = std::get_if<bool>(&value)) return *tick ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return number_text(*integer);
  if (const auto* x = std::get_if<double>(&value); x && std::isfinite(*x)) return number_text(*x);
  return "null";
}

/// Quoted where it must be (RFC 4180).
inline std::string csv_string(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

inline std::string csv_text(const cell& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return csv_string(*text);
  if (std::holds_alternative<std::monostate>(value)) return {};
  if (const auto* x = std::get_if<double>(&value); x && !std::isfinite(*x)) return table_text(value, kind::fixed, 0);
  return json_text(value);
}

}  // namespace detail

/// The rows under their headings, two blanks between the columns: text to the left, everything else to the right.
template <class Row> std::string as_table(const std::vector<column<Row>>& columns, const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> lines(1 + rows.size());
  for (const column<Row>& c : columns) {
    lines[0].push_back(c.title);
    for (std::size_t r = 0; r < rows.size(); ++r)
      lines[r + 1].push_back(detail::table_text(c.value(rows[r]), c.shown_as, c.digits));
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& line : lines)
    for (std::size_t c = 0; c < columns.size(); ++c) widths[c] = std::max(widths[c], detail::width_of(line[c]));

  std::string out;
  for (std::size_t l = 0; l < lines.size(); ++l) {
    std::string text;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const std::string blanks(widths[c] - detail::width_of(lines[l][c]), ' ');
      if (c > 0) text += "  ";
      text += columns[c].shown_as == kind::text ? lines[l][c] + blanks : blanks + lines[l][c];
    }
    out += text.substr(0, text.find_last_not_of(' ') + 1) + '\n';
    if (l > 0) continue;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) out += "  ";
      for (std::size_t i = 0; i < widths[c]; ++i) out += "─";
    }
    out += '\n';
  }
  return out;
}

/// One array, an object per row: {"key": value, ...}.
template <class Row> std::string as_json(const std::vector<column<Row>>& columns, const std::vector<Row>& rows) {
  std::string out = "[";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    out += r > 0 ? ",\n  {" : "\n  {";
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c > 0) out += ", ";
      out += detail::json_string(columns[c].key) + ": " + detail::json_text(columns[c].value(rows[r]));
    }
    out += '}';
  }
  return out + (rows.empty() ? "]\n" : "\n]\n");
}

/// A line of keys, then a line per row; ticks are true and false.
template <class Row> std::string as_csv(const std::vector<column<Row>>& columns, const std::vector<Row>& rows) {
  std::string out;
  const auto put = [&](std::size_t c, const std::string& text) {
    out += text;
    out += c + 1 < columns.size() ? ',' : '\n';
  };
  for (std::size_t c = 0; c < columns.size(); ++c) put(c, detail::csv_string(columns[c].key));
  for (const Row& row : rows)
    for (std::size_t c = 0; c < columns.size(); ++c) put(c, detail::csv_text(columns[c].value(row)));
  return out;
}

}  // namespace ablation
