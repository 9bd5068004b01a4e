//! Google's Gemini API (`generateContent`), upstream side.
